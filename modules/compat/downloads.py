"""Model files that extensions look for or have downloaded."""

import hashlib
import logging
from pathlib import Path
from typing import Any

from modules.compat.listing import walk_files
from modules.files import atomic

logger = logging.getLogger(__name__)


def load_file_from_url(
    url: str, *, model_dir: str, progress: bool = True, file_name: str | None = None, hash_prefix: str | None = None
) -> str:
    """Return a file in a folder, downloaded unless it is there.

    Raises:
        ValueError: the address is none of http, or the file has not the hash that was expected.
    """
    from urllib.parse import urlparse
    from urllib.request import urlopen

    parts = urlparse(url)
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"{url[:200]!r} is no http address")
    target = Path(model_dir) / (file_name or Path(parts.path).name)
    if not target.is_file():
        atomic.make_folder(target.parent)
        logger.info("downloading %s", url)
        partly = target.with_name(target.name + ".part")
        digest = hashlib.sha256()
        with urlopen(url, timeout=60) as answer, partly.open("wb") as file:
            while block := answer.read(1 << 20):
                digest.update(block)
                file.write(block)
        if hash_prefix and not digest.hexdigest().startswith(hash_prefix):
            partly.unlink()
            raise ValueError(f"{target.name} has not the hash that was expected")
        partly.replace(target)
    return str(target)


def load_models(
    model_path: str, model_url: str | None = None, command_path: str | None = None, ext_filter: Any = None,
    download_name: str | None = None, ext_blacklist: Any = None, hash_prefix: str | None = None,
) -> list[str]:  # fmt: skip
    """List the model files of folders; the one at an address is downloaded when there are none."""
    places = [one for one in (command_path, model_path) if one]
    blocked = tuple(ext_blacklist or ())
    found = [file for place in places for file in walk_files(place, ext_filter) if not file.endswith(blocked or "\0")]
    if not found and model_url is not None and download_name is not None:
        return [load_file_from_url(model_url, model_dir=places[0], file_name=download_name, hash_prefix=hash_prefix)]
    return list(dict.fromkeys(found)) or ([model_url] if model_url else [])


def friendly_name(file: str) -> str:
    """Return the name of a file without folders and ending."""
    return Path(file).stem
