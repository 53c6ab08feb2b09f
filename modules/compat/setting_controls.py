"""`modules.ui_settings`: the control of one setting, as extensions put it into their own part of the page."""

from typing import Any

from modules.compat.host import host


def create_setting_component(key: str, is_quicksettings: bool = False) -> Any:
    """Build the control of a setting; what it shows is not saved by itself.

    Args:
        key: of a setting of this program or of an extension.
        is_quicksettings: whether it goes to the top of the page.

    Raises:
        KeyError: there is no such setting.
    """
    from modules.web.ui.controls import setting_control

    options, snapshot = host().options, host().settings.snapshot()
    known = snapshot.declarations()
    info = options.data_labels.get(key)
    if info is not None and info.component is not None:
        return _of_extension(key, info)
    return setting_control(known[key], options.value(key), host().services())


def _of_extension(key: str, info: Any) -> Any:
    """Build what an extension registered; its class and arguments are its own."""
    from modules.compat.old_gradio import serving_old_idioms

    given: Any = info.component_args
    arguments: Any = given() if callable(given) else given or {}
    with serving_old_idioms():
        return info.component(label=info.label, value=host().options.value(key), elem_id=f"setting_{key}", **arguments)
