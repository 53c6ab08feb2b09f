"""All settings at one moment. A job takes one when it starts; an override makes another one."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from types import MappingProxyType
from typing import Any, Literal, Self, TypeVar

from modules.domain.errors import ForbiddenSetting, InvalidRequest, UnknownName, UnsupportedFeature
from modules.domain.param import ParamPath, walk_params
from modules.settings.coerce import coerce
from modules.settings.known import HELD, IGNORED, RESTRICTED_ELSEWHERE, UNSUPPORTED
from modules.settings.sections import (
    Api,
    Compatibility,
    ExtraNetworks,
    Img2img,
    Infotext,
    Optimizations,
    Paths,
    Postprocessing,
    Previews,
    Sampler,
    Saving,
    Sd,
    Sdxl,
    Section,
    System,
    Ui,
    Upscaling,
    Vae,
)

T = TypeVar("T")
Caller = Literal["local", "api"]
"""Who asks: the owner of the machine, or a client that is trusted with less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """Settings that extensions declared."""

    sections: tuple[Section, ...] = ()
    declared: Mapping[str, ParamPath] = field(default_factory=lambda: MappingProxyType({}))
    values: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Those that differ from their defaults."""

    def with_section(self, section: Section) -> "Added":
        """Return these and the settings of one more page.

        Raises:
            ValueError: another setting has one of its keys.
        """
        own = {item.path[-1]: item for item in walk_params(section.cls)}
        taken = next((key for key in own if key in declarations() or key in self.declared or key in UNSUPPORTED), None)
        if taken is not None:
            raise ValueError(f"another setting is called {taken}")
        declared = MappingProxyType({**self.declared, **own})
        return replace(self, sections=(*self.sections, section), declared=declared)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Every setting, grouped in sections; `snapshot.sampler.eta_ddim` and `snapshot.value("eta_ddim")` agree."""

    saving: Saving = field(default_factory=Saving)
    paths: Paths = field(default_factory=Paths)
    sd: Sd = field(default_factory=Sd)
    sdxl: Sdxl = field(default_factory=Sdxl)
    vae: Vae = field(default_factory=Vae)
    img2img: Img2img = field(default_factory=Img2img)
    sampler: Sampler = field(default_factory=Sampler)
    optimizations: Optimizations = field(default_factory=Optimizations)
    compatibility: Compatibility = field(default_factory=Compatibility)
    extra_networks: ExtraNetworks = field(default_factory=ExtraNetworks)
    ui: Ui = field(default_factory=Ui)
    upscaling: Upscaling = field(default_factory=Upscaling)
    postprocessing: Postprocessing = field(default_factory=Postprocessing)
    previews: Previews = field(default_factory=Previews)
    infotext: Infotext = field(default_factory=Infotext)
    system: System = field(default_factory=System)
    api: Api = field(default_factory=Api)
    added: Added = field(default_factory=Added)

    def declarations(self) -> Mapping[str, ParamPath]:
        """Return flat key -> declaration of every setting, those of extensions last."""
        return {**declarations(), **self.added.declared} if self.added.declared else declarations()

    def of(self, cls: type[T]) -> T:
        """Return the settings that an extension declared with a class, as an instance of it."""
        return cls(**{item.path[-1]: self.value(item.path[-1]) for item in walk_params(cls)})

    def value(self, key: str) -> Any:
        """Return one setting by its flat key.

        Raises:
            UnknownName: no setting has this key.
        """
        own = self.added.declared.get(key)
        if own is not None:
            return self.added.values.get(key, own.default)
        section, name = declared(key).path
        return getattr(getattr(self, section), name)

    def with_overrides(self, values: Mapping[str, Any], *, by: Caller = "local") -> Self:
        """Return a snapshot in which some settings differ; either all of them are applied or none.

        Args:
            values: flat key -> new value, in JSON types or as text from an infotext.
            by: "api" refuses the settings in `RESTRICTED`.

        Raises:
            UnknownName: a key that is not a setting.
            InvalidRequest: a value of the wrong type or out of range; the message names the key.
            UnsupportedFeature: one of A1111's settings that has no effect here, away from A1111's default.
            ForbiddenSetting: a restricted key, asked for over the API.
        """
        changes: dict[str, dict[str, Any]] = {}
        of_extensions = {
            key: coerce(self.added.declared[key], values[key]) for key in values if key in self.added.declared
        }
        for key, value in values.items():
            if key in of_extensions:
                continue
            refused = by == "api" and key in RESTRICTED
            if by == "api" and key in READ_AT_START:
                coerce(declared(key), value)
                continue
            if refused and key not in declarations():
                raise _forbidden(key)
            if asks_nothing(key, value):
                continue
            item = declared(key)
            if refused and value != _as_json(self.value(key)):
                raise _forbidden(key)
            section, name = item.path
            changes.setdefault(section, {})[name] = coerce(item, value)
        parts = {name: replace(getattr(self, name), **part) for name, part in changes.items()}
        if of_extensions:
            parts["added"] = replace(self.added, values=MappingProxyType({**self.added.values, **of_extensions}))
        return replace(self, **parts)

    def flat(self) -> dict[str, Any]:
        """Return all settings under their flat keys, in JSON types, in the order of the Settings tab."""
        return {key: _as_json(self.value(key)) for key in self.declarations()}

    def keys(self) -> tuple[str, ...]:
        """Return the flat keys in the order of the Settings tab."""
        return tuple(self.declarations())


def _as_json(value: Any) -> Any:
    return [*value] if isinstance(value, tuple) else value


@cache
def declarations() -> Mapping[str, ParamPath]:
    """Return flat key -> declaration of every setting, in the order of the Settings tab."""
    return MappingProxyType({item.name: item for item in walk_params(Snapshot)})


RESTRICTED = frozenset(item.name for item in (*fields(Paths), *fields(Api), *fields(System))) | RESTRICTED_ELSEWHERE
"""Keys that a client cannot change: they choose folders or guard this machine."""


READ_AT_START = frozenset({"disable_all_extensions", "disabled_extensions"})
"""Of these, the keys that clients may send with a request: what is loaded already stays loaded, as in A1111."""


def _forbidden(key: str) -> ForbiddenSetting:
    return ForbiddenSetting(
        "may only be changed on the machine itself, in its settings or on its command line", field=key
    )


def declared(key: str) -> ParamPath:
    """Return the declaration of a setting.

    Raises:
        UnknownName: no setting has this key; lists similar ones.
    """
    found = declarations().get(key)
    if found is None:
        raise UnknownName("Setting", key, difflib.get_close_matches(key[:100], declarations(), n=5), field=key[:100])
    return found


def asks_nothing(key: str, value: Any) -> bool:
    """Tell whether a value for one of A1111's settings can be accepted without effect.

    Raises:
        UnsupportedFeature: a setting of A1111's that is missing here, with another value than A1111's default.
        InvalidRequest: a value that such a setting does not have in A1111 either.
    """
    if key in HELD and value not in HELD[key]:
        raise InvalidRequest(f"must be one of {', '.join(map(str, HELD[key]))}", field=key)
    if key in IGNORED or key in HELD:
        return True
    if key not in UNSUPPORTED:
        return False
    if UNSUPPORTED[key] != value:
        raise UnsupportedFeature(f"the setting {key}", field=key)
    return True
