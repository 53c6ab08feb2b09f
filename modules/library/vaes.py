"""The separate VAE files, and which of them goes with a checkpoint."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modules.library.catalog import is_vae_name
from modules.library.scan import scan_files
from modules.library.sidecars import user_metadata

SUFFIXES = (".ckpt", ".pt", ".safetensors")
AUTOMATIC = "Automatic"
NONE = "None"


@dataclass(frozen=True, slots=True, kw_only=True)
class VaeChoice:
    """A decision about the VAE and where it came from."""

    path: Path | None = None
    """`None` is the VAE inside the checkpoint."""
    source: str = ""
    """`flag`, `setting`, `metadata`, `name beside the checkpoint`, or empty for the checkpoint's own."""
    missing: str = ""
    """A name that was asked for and is not there."""


def list_vaes(
    checkpoint_folders: Sequence[Path], vae_folders: Sequence[Path], *, hidden: bool = True
) -> dict[str, Path]:
    """List VAE files by file name: `*.vae.*` beside checkpoints, and everything in the VAE folders.

    Of files with equal names the last one counts. The order is natural within each folder.
    """
    found: dict[str, Path] = {}
    for folder in checkpoint_folders:
        found.update((p.name, p) for name, p in scan_files(folder, SUFFIXES, hidden=hidden) if is_vae_name(name))
    for folder in vae_folders:
        found.update((p.name, p) for _, p in scan_files(folder, SUFFIXES, hidden=hidden))
    return found


def vae_for(
    checkpoint: Path,
    vaes: Mapping[str, Path],
    *,
    setting: str = AUTOMATIC,
    setting_overrides: bool = True,
    by_name: bool = True,
    forced: Path | None = None,
) -> VaeChoice:
    """Choose the VAE of a checkpoint.

    Args:
        checkpoint: the checkpoint file.
        vaes: what `list_vaes` gave.
        setting: option `sd_vae`: a file name, `Automatic` or `None`.
        setting_overrides: option `sd_vae_overrides_per_model_preferences`.
        by_name: take a VAE whose file name begins with the checkpoint's.
        forced: `--vae-path`, which beats everything.
    """
    if forced:
        return VaeChoice(path=forced, source="flag")
    if setting_overrides and setting != AUTOMATIC:
        return _named(setting, vaes, "setting")
    preferred = user_metadata(checkpoint).get("vae")
    wanted = preferred if isinstance(preferred, str) and preferred != AUTOMATIC else ""
    if wanted in vaes or wanted == NONE:
        return _named(wanted, vaes, "metadata")
    near = _near(checkpoint, vaes) if by_name else None
    if near:
        return VaeChoice(path=near, source="name beside the checkpoint", missing=wanted)
    return VaeChoice(missing=wanted) if setting == AUTOMATIC else _named(setting, vaes, "setting")


def _near(checkpoint: Path, vaes: Mapping[str, Path]) -> Path | None:
    """`model.vae.pt` belongs to `model.ckpt` more closely than `model2.vae.pt` does."""
    for begin in (f"{checkpoint.stem}.", checkpoint.stem):
        for name, path in vaes.items():
            if name.startswith(begin):
                return path
    return None


def _named(name: str, vaes: Mapping[str, Path], source: str) -> VaeChoice:
    if name == NONE:
        return VaeChoice(source=source)
    path = vaes.get(name)
    return VaeChoice(path=path, source=source) if path else VaeChoice(missing=name)
