"""The yaml beside a checkpoint: what tensor shapes cannot tell, in the form that CompVis's configs have.

    model:
      params:
        parameterization: v            # eps when absent
        linear_start: 0.00085          # betas: square roots evenly spaced from ... to ...
        linear_end: 0.012
        timesteps: 1000
        zero_terminal_snr: true      # noise levels that end in noise alone
        edm_range: {sigma_min: 0.002, sigma_max: 120}    # trained on all levels in between, as CosXL
        image_size: 64               # side of the latents of training: an eighth of the pictures' side
        scale_factor: 0.18215
        unet_config:
          params: {num_heads: 8}       # or num_head_channels; norm_groups: 32
        first_stage_config:
          params: {ddconfig: {}}       # norm_groups: 32
        cond_stage_config:
          params: {}                   # num_heads: 12

`norm_groups`, `zero_terminal_snr`, `edm_range` and the text encoder's `num_heads` are additions of this program.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from modules.domain.errors import BrokenFile

MAX_BYTES = 1 << 20

NOTHING: Mapping[str, Any] = MappingProxyType({})


def read_sidecar(path: Path | None) -> Mapping[str, Any]:
    """Parse the yaml; an absent or empty file is an empty mapping.

    Raises:
        BrokenFile: unreadable, larger than a megabyte, or not a yaml mapping.
    """
    if path is None:
        return NOTHING
    import yaml

    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise BrokenFile(path, "is over a megabyte long, not a model's configuration")
        parsed = yaml.safe_load(raw)
    except OSError as error:
        raise BrokenFile(path, f"cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        first = (str(error).splitlines() or ["malformed"])[0]
        raise BrokenFile(path, f"is not valid yaml ({first}); correct or delete it") from error
    if parsed is None:
        return NOTHING
    if not isinstance(parsed, dict):
        raise BrokenFile(path, "is not a yaml mapping; correct or delete it")
    return parsed


def section(config: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """Return a nested mapping, empty where a level is absent or something else."""
    for name in names:
        inner = config.get(name)
        if not isinstance(inner, dict):
            return NOTHING
        config = inner
    return config


def number(values: Mapping[str, Any], name: str, *, minimum: float, maximum: float) -> float | None:
    """Return a number of a section, None when it is absent.

    Raises:
        ValueError: another type, or out of range; the message names it.
    """
    value = values.get(name)
    if isinstance(value, str):  # yaml 1.1 reads 1e-4 as text
        with contextlib.suppress(ValueError):
            value = float(value)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not minimum <= value <= maximum:
        raise ValueError(f"{name} must be a number from {minimum:g} to {maximum:g}, not {str(value)[:40]!r}")
    return float(value)


def count(values: Mapping[str, Any], name: str) -> int | None:
    """Return a whole number above zero of a section, None when it is absent.

    -1 counts as absent, as the configs of later models write `num_heads: -1` beside `num_head_channels`.

    Raises:
        ValueError: another type, or out of range; the message names it.
    """
    if values.get(name) == -1:
        return None
    value = number(values, name, minimum=1, maximum=65536)
    if value is not None and not value.is_integer():
        raise ValueError(f"{name} must be a whole number, not {value:g}")
    return None if value is None else int(value)
