"""Settings of extensions as pages of the Settings tab: what they registered becomes declared parameters."""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import field, make_dataclass
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

from modules.compat.options import OptionInfo, Options, registered
from modules.domain.param import Param
from modules.settings.sections import Section
from modules.settings.snapshot import declarations

if TYPE_CHECKING:
    from modules.extending.discover import Extension

logger = logging.getLogger(__name__)


def pages_of(options: Options, extension: "Extension") -> list[Section]:
    """Return pages for everything that was registered and is on no page yet."""
    groups: dict[tuple[str, str], dict[str, OptionInfo]] = {}
    for key, info in registered(options).items():
        if key in options.declared or info.do_not_save or not key.isidentifier() or key in declarations():
            continue
        options.declared.add(key)
        groups.setdefault(_section(info, extension), {})[key] = info
    return [_page(name, title, infos) for (name, title), infos in groups.items()]


def _section(info: OptionInfo, extension: "Extension") -> tuple[str, str]:
    section = info.section
    if not isinstance(section, tuple | list) or len(section) < 2 or not section[0]:
        return extension.canonical, extension.name
    return str(section[0]), str(section[1])


def _page(name: str, title: str, infos: Mapping[str, OptionInfo]) -> Section:
    plain = re.sub(r"[^a-z0-9_-]", "-", name.lower()).strip("-_") or "extension"
    made = [(key, _annotation(info), _field(key, info)) for key, info in infos.items()]
    cls = make_dataclass(f"Options_{plain.replace('-', '_')}", made, frozen=True, kw_only=True, slots=True)
    cls.__doc__ = f"Settings of the page {title}."
    return Section(name=plain, cls=cls, id=plain, title=title, category="Extensions")


def _annotation(info: OptionInfo) -> Any:
    """Return the type that values are held to; what is neither number, text nor list of texts may be anything."""
    kind = type(info.default)
    if kind in (bool, int, float, str) and not _takes_any(info):
        return kind
    return Any


def _takes_any(info: OptionInfo) -> bool:
    """Tell whether a number may come with a part although the default has none, or texts are chosen out of other things."""
    arguments = _arguments(info)
    numbers = (arguments.get("step"), arguments.get("minimum"), arguments.get("maximum"))
    wider = isinstance(info.default, int) and any(isinstance(one, float) for one in numbers)
    return wider or any(not isinstance(one, str) for one in _choices(arguments) or ())


def _field(key: str, info: OptionInfo) -> Any:
    arguments, about = _arguments(info), _words(f"{info.comment_before} {info.comment_after}")
    low, high = arguments.get("minimum"), arguments.get("maximum")
    slider = (float(low), float(high)) if isinstance(low, int | float) and isinstance(high, int | float) else None
    choices = _choices(arguments)
    fixed = tuple(choices) if choices and all(isinstance(one, str) for one in choices) and _closed(info, choices) else None  # fmt: skip
    shown = Param(
        label=info.label or key, help=about or info.label or key, slider=slider, step=arguments.get("step"),
        choices=fixed, infotext=info.infotext,
    )  # fmt: skip
    if isinstance(info.default, list | dict | set):
        return field(default_factory=_copier(info.default), metadata={"param": shown})
    return field(default=info.default, metadata={"param": shown})


def _closed(info: OptionInfo, choices: list[Any]) -> bool:
    """Tell whether values outside of a list make no sense; those of lists that change are not held to it."""
    return isinstance(info.default, str) and info.default in choices and info.refresh is None


def _copier(value: Any) -> Callable[[], Any]:
    import copy

    return lambda: copy.deepcopy(value)


def _arguments(info: OptionInfo) -> Mapping[str, Any]:
    given = info.component_args
    if callable(given):
        try:
            given = given()
        except Exception as error:
            logger.error("the setting %s does not say how it is shown", info.label, exc_info=error)
            return {}
    return given if isinstance(given, Mapping) else {}


def _choices(arguments: Mapping[str, Any]) -> list[Any] | None:
    found: Any = arguments.get("choices")
    if callable(found):
        found = found()
    return [one[1] if isinstance(one, tuple) and len(one) == 2 else one for one in found] if found else None


def _words(markup: str) -> str:
    """Return the text of markup."""
    reader = _Reader()
    reader.feed(markup)
    return " ".join("".join(reader.parts).split())


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)
