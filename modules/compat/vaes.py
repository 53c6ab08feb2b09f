"""VAE files as legacy modules list and choose them."""

from pathlib import Path
from typing import Any

from modules.compat.checkpoints import read_state_dict
from modules.compat.host import host


def vae_files() -> dict[str, str]:
    """Return the VAE files by name."""
    return {one.model_name: one.filename for one in host().services().vaes()}


def refresh_vae_list() -> None:
    """Look for VAE files again."""
    host().services().refresh_vaes()


def sd_vae_items() -> list[str]:
    """Return the choices of VAEs."""
    return ["Automatic", "None", *vae_files()]


def loaded_vae_file() -> str | None:
    """Return the VAE file in use; None when the checkpoint's own is."""
    loaded = host().workshop().pool.loaded
    return str(loaded.vae) if loaded is not None and loaded.vae else None


def reload_vae_weights(sd_model: Any = None, vae_file: Any = None) -> Any:
    """Use a VAE; the next job loads it."""
    if isinstance(vae_file, str):
        host().options.assign("sd_vae", Path(vae_file).name)
    return sd_model


def clear_loaded_vae() -> None:
    """Forget the VAE; the program keeps and forgets by itself."""


def get_filename(filepath: str) -> str:
    """Return the name of a file without folders."""
    return Path(filepath).name


def find_vae_near_checkpoint(checkpoint_file: str) -> str | None:
    """Return the VAE that lies beside a checkpoint."""
    stem = Path(checkpoint_file).stem
    return next((path for path in vae_files().values() if Path(path).name.startswith(f"{stem}.vae.")), None)


def load_vae(model: Any, vae_file: Any = None, vae_source: str = "from unknown source") -> None:
    """Use a VAE; the next job loads it. Without a file the checkpoint's own is used."""
    host().options.assign("sd_vae", Path(vae_file).name if isinstance(vae_file, str) else "None")


def load_vae_dict(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Read the weights of a VAE; what only its training needed is left out.

    Raises:
        ModelError: the file cannot be used.
    """
    weights = read_state_dict(filename)
    return {name: value for name, value in weights.items() if not name.startswith(("loss", "model_ema."))}
