"""A1111's `modules.generation_parameters_copypaste`: the older name of `infotext_utils`."""

from modules.compat.facade import compute
from modules.compat.infotexts import (
    ParamBinding,
    PasteField,
    bind_buttons,
    connect_paste_params_buttons,
    create_buttons,
    create_override_settings_dict,
    get_override_settings,
    image_from_url_text,
    parse_generation_parameters,
    quote,
    register_paste_params_button,
    unquote,
)
from modules.compat.infotexts import bindings as _bindings

__all__ = [
    "ParamBinding", "PasteField", "bind_buttons", "connect_paste_params_buttons", "create_buttons",
    "create_override_settings_dict", "get_override_settings", "image_from_url_text", "parse_generation_parameters",
    "quote", "register_paste_params_button", "unquote",
]  # fmt: skip

paste_fields: dict[str, object] = {}
compute(__name__, {"registered_param_bindings": _bindings})
