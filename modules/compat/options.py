"""`shared.opts`: the settings as A1111's attributes, those of extensions included."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

from modules.compat.host import current_job
from modules.domain.errors import WebuiError
from modules.settings.known import HELD, UNSUPPORTED
from modules.settings.sections import SECTIONS
from modules.settings.snapshot import declarations
from modules.settings.store import SettingsStore

logger = logging.getLogger(__name__)

_REPORTED: Mapping[str, Any] = {"sd_checkpoint_hash": "", "sd_vae_explanation": ""}
"""Keys that A1111 only reports."""


class OptionInfo:
    """What is known of one setting."""

    def __init__(
        self, default: Any = None, label: str = "", component: Any = None, component_args: Any = None,
        onchange: Callable[[], None] | None = None, section: Any = None, refresh: Callable[[], None] | None = None,
        comment_before: str = "", comment_after: str = "", infotext: str | None = None, restrict_api: bool = False,
        category_id: str | None = None,
    ) -> None:  # fmt: skip
        self.default = default
        self.label = label
        self.component = component
        self.component_args = component_args
        self.onchange = onchange
        self.section = (None,) if section is None else section
        self.category_id = category_id
        self.refresh = refresh
        self.do_not_save = False
        self.comment_before = comment_before
        self.comment_after = comment_after
        self.infotext = infotext
        self.restrict_api = restrict_api

    def link(self, label: str, url: str) -> "OptionInfo":
        """Put a link before the control."""
        self.comment_before += f"[<a href='{url}' target='_blank'>{label}</a>]"
        return self

    def js(self, label: str, js_func: str) -> "OptionInfo":
        """Put a link that calls a script before the control."""
        self.comment_before += f"[<a onclick='{js_func}(); return false'>{label}</a>]"
        return self

    def info(self, info: str) -> "OptionInfo":
        """Put words after the control."""
        self.comment_after += f"<span class='info'>({info})</span>"
        return self

    def html(self, html: str) -> "OptionInfo":
        """Put markup after the control."""
        self.comment_after += html
        return self

    def needs_restart(self) -> "OptionInfo":
        """Say that the program has to be started again."""
        self.comment_after += " <span class='info'>(requires restart)</span>"
        return self

    def needs_reload_ui(self) -> "OptionInfo":
        """Say that the page has to be built again."""
        self.comment_after += " <span class='info'>(requires Reload UI)</span>"
        return self


class OptionHTML(OptionInfo):
    """Words between settings."""

    def __init__(self, text: str) -> None:
        super().__init__(text.strip(), label="", component_args={"visible": True})
        self.do_not_save = True


class OptionDiv(OptionInfo):
    """A line between settings."""

    def __init__(self) -> None:
        super().__init__("", label="")
        self.do_not_save = True


class OptionsCategories:
    """Headings over the sections of the settings."""

    def __init__(self) -> None:
        self.mapping: dict[str, str] = {}

    def register_category(self, category_id: str, label: str) -> str:
        """Add a heading."""
        self.mapping.setdefault(category_id, label)
        return category_id


def options_section(section_identifier: Any, options_dict: dict[str, OptionInfo]) -> dict[str, OptionInfo]:
    """Write the section into every entry that is in none."""
    for info in options_dict.values():
        if len(section_identifier) == 2:
            info.section = section_identifier
        elif len(section_identifier) > 2:
            info.section, info.category_id = section_identifier[:2], section_identifier[2]
    return options_dict


class OptionData(MutableMapping[str, Any]):
    """All saved values by key; also those that nobody registered."""

    def __init__(self, options: "Options") -> None:
        self._options = options

    def __getitem__(self, key: str) -> Any:
        return self._options.value(key)

    def __setitem__(self, key: str, value: Any) -> None:
        self._options.assign(key, value)

    def __delitem__(self, key: str) -> None:
        self._options.forget(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._options.keys())

    def __len__(self) -> int:
        return len(self._options.keys())

    def copy(self) -> dict[str, Any]:
        """Return all values of this moment."""
        return dict(self)

    def clear(self) -> None:
        """End what the running job assigned. The owner's settings stay: whoever empties them is about to put them back."""
        job = current_job()
        if job is not None:
            job.assigned.clear()

    def __repr__(self) -> str:
        return repr(dict(self))


class Options:
    """The settings. Read and assigned as attributes; a job sees its own snapshot, and what is assigned there ends with it."""

    def __init__(self, store: SettingsStore) -> None:
        put = super().__setattr__
        put("_store", store)
        put("data_labels", _labels())
        put("data", OptionData(self))
        put("restricted_opts", set[str]())
        put("declared", set[str]())

    def __getattr__(self, name: str) -> Any:
        try:
            return self.value(name)
        except KeyError:
            raise AttributeError(f"there is no setting {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self.assign(name, value)

    def value(self, key: str) -> Any:
        """Return a value.

        Raises:
            KeyError: there is no such setting.
        """
        job = current_job()
        if job is not None and key in job.assigned:
            return job.assigned[key]
        snapshot = self._store.snapshot() if job is None else job.ctx.settings
        if key in snapshot.declarations():
            return _plain(snapshot.value(key))
        if job is not None and key in job.overrides:
            return job.overrides[key]
        extra = self._store.extra()
        if key in extra:
            return extra[key]
        if key in self.data_labels:
            return self.data_labels[key].default
        for known in (UNSUPPORTED, _REPORTED):
            if key in known:
                return known[key]
        if key in HELD:
            return HELD[key][0]
        raise KeyError(key)

    def keys(self) -> list[str]:
        """Return the keys of everything that has a value."""
        shown = [key for key, info in self.data_labels.items() if not info.do_not_save]
        return list(dict.fromkeys([*self._store.snapshot().keys(), *self._store.extra(), *shown]))

    def assign(self, key: str, value: Any) -> None:
        """Set a value: for the running job, else for good. What this program cannot take is only remembered."""
        job = current_job()
        if job is not None:
            if key in job.assigned or key not in self.keys() or self.value(key) != value:
                job.assigned[key] = value
            return
        try:
            self._write(key, value)
        except WebuiError as error:
            logger.warning("the setting %s stays as it is: %s", key, error)

    def forget(self, key: str) -> None:
        """Remove what the running job assigned; without one, the value of an extension's setting."""
        job = current_job()
        if job is not None:
            job.assigned.pop(key, None)
        else:
            self._store.set_extra({key: None})

    def set(self, key: str, value: Any, is_api: bool = False, run_callbacks: bool = True) -> bool:
        """Set a value for good and tell whoever wants to know; True when it is another one now."""
        info = self.data_labels.get(key)
        if info is not None and (info.do_not_save or (is_api and info.restrict_api)):
            return False
        if (key in self.keys() or info is not None) and self.value(key) == value:
            return False
        self._write(key, value)
        if run_callbacks and info is not None and info.onchange is not None:
            try:
                info.onchange()
            except Exception as error:
                logger.error("changing the setting %s failed", key, exc_info=error)
                return False
        return True

    def _write(self, key: str, value: Any) -> None:
        if key in self._store.snapshot().declarations():
            self._store.set({key: value})
        elif key not in UNSUPPORTED and key not in HELD:
            self._store.set_extra({key: value})

    def get_default(self, key: str) -> Any:
        """Return what a setting begins with, None for an unknown one."""
        info = self.data_labels.get(key)
        return None if info is None else info.default

    def add_option(self, key: str, info: OptionInfo) -> None:
        """Register a setting."""
        self.data_labels[key] = info

    def onchange(self, key: str, func: Callable[[], None], call: bool = True) -> None:
        """Call a function after a setting changed, and once at once."""
        info = self.data_labels.get(key)
        if info is not None:
            info.onchange = func
        if call:
            func()

    def save(self, filename: str) -> None:
        """Write all settings; every change is written already, so only another file gets something."""
        from pathlib import Path

        from modules.files.atomic import write_json

        if Path(filename) != self._store.path:
            write_json(Path(filename), dict(self.data))

    def load(self, filename: str) -> None:
        """Take the values of a file."""
        from pathlib import Path

        for key, value in json.loads(Path(filename).read_text(encoding="utf-8")).items():
            self.assign(key, value)

    def dumpjson(self) -> str:
        """Return all settings as JSON."""
        return json.dumps({**dict(self.data), "_comments_before": {}, "_comments_after": {}, "_categories": {}})

    def reorder(self) -> None:
        """Sort the settings by section; the page shows them by section in any case."""

    def cast_value(self, key: str, value: Any) -> Any:
        """Return a value in the type of the setting's default."""
        default = self.get_default(key)
        if value is None or default is None:
            return value
        if isinstance(default, bool) and isinstance(value, str):
            return value.strip().lower() == "true"
        return type(default)(value) if isinstance(default, bool | int | float | str) else value

    def same_type(self, x: Any, y: Any) -> bool:
        """Tell whether two values may stand for each other."""
        if x is None or y is None:
            return True
        number = (int, float)
        return (isinstance(x, number) and isinstance(y, number)) or type(x) is type(y)


def registered(options: Options) -> dict[str, OptionInfo]:
    """Return the settings that extensions registered."""
    return {key: info for key, info in options.data_labels.items() if key not in declarations()}


def _labels() -> dict[str, OptionInfo]:
    sections = {name: (part.id, part.title) for part in SECTIONS for name in _fields(part.cls)}
    return {
        key: OptionInfo(_plain(item.default), item.param.label, section=sections.get(key), infotext=item.param.infotext)
        for key, item in declarations().items()
    }


def _fields(cls: type) -> list[str]:
    from dataclasses import fields

    return [item.name for item in fields(cls)]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
