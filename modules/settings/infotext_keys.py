"""Which settings a pasted parameters text asks for."""

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from modules.domain.errors import InvalidRequest
from modules.settings.coerce import coerce
from modules.settings.snapshot import Snapshot, declarations

_MODULE = re.compile(r"Module [0-9]+")
_ALSO_READ = {"Beta schedule alpha": "beta_dist_alpha", "Beta schedule beta": "beta_dist_beta"}
"""Keys that pictures carry although A1111 reads them under another spelling only."""


def setting_of_infotext_key(key: str, current: Snapshot | None = None) -> str | None:
    """Return the setting that an infotext key stands for, or None when it stands for none.

    Args:
        key: of the infotext.
        current: knows the settings of extensions too.
    """
    if key in _ALSO_READ:
        return _ALSO_READ[key]
    known = declarations() if current is None else current.declarations()
    return next((name for name, item in known.items() if item.param.infotext == key), None)


def settings_in_infotext(parsed: Mapping[str, Any], current: Snapshot) -> dict[str, Any]:
    """Return the settings of a parsed infotext that differ from the current ones, to be applied for one run.

    A value that its setting cannot take is left out, as a pasted text is only a proposal.

    Args:
        parsed: infotext key -> value, from `modules.imaging.infotext_parse`.
        current: the settings as they are; `disable_weights_auto_swap` decides about the model.
    """
    found: dict[str, Any] = {}
    for key, value in parsed.items():
        name = setting_of_infotext_key(key, current)
        if name is None or (name == "sd_model_checkpoint" and current.infotext.disable_weights_auto_swap):
            continue
        try:
            typed = coerce(current.declarations()[name], value)
        except InvalidRequest:
            continue
        if typed != current.value(name):
            found[name] = typed
    modules = tuple(str(value) for key, value in parsed.items() if _MODULE.fullmatch(key))
    if modules and modules != tuple(PurePath(name).stem for name in current.vae.forge_additional_modules):
        found["forge_additional_modules"] = list(modules)
    return found
