"""Small things that legacy modules offer, each a few lines over what the program has."""

import contextlib
import hashlib
import json
import logging
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

from PIL import Image

from modules.compat.host import host
from modules.compat.scripts import ScriptFile
from modules.files import atomic
from modules.imaging import mask as masks
from modules.imaging.colour import with_colours_of, with_luminosity
from modules.imaging.resize import paste_back

logger = logging.getLogger(__name__)

LATENT_MODES: dict[str, dict[str, Any]] = {
    "Latent": {"mode": "bilinear", "antialias": False},
    "Latent (antialiased)": {"mode": "bilinear", "antialias": True},
    "Latent (bicubic)": {"mode": "bicubic", "antialias": False},
    "Latent (bicubic antialiased)": {"mode": "bicubic", "antialias": True},
    "Latent (nearest)": {"mode": "nearest", "antialias": False},
    "Latent (nearest-exact)": {"mode": "nearest-exact", "antialias": False},
}


def natural_sort_key(s: Any, regex: re.Pattern[str] = re.compile("([0-9]+)")) -> list[Any]:
    """Return what sorts names with numbers as people do."""
    return [int(text) if text.isdigit() else text.lower() for text in regex.split(str(s))]


def listfiles(dirname: str) -> list[str]:
    """List the files of a folder, those that begin with a dot left out."""
    folder = Path(dirname)
    names = sorted((one.name for one in folder.iterdir()), key=natural_sort_key) if folder.is_dir() else []
    return [str(folder / name) for name in names if not name.startswith(".") and (folder / name).is_file()]


def walk_files(path: str | None, allowed_extensions: Any = None) -> Iterator[str]:
    """Yield the files below a folder."""
    folder = Path(path or "")
    if not path or not folder.is_dir():
        return
    allowed = None if allowed_extensions is None else {one.lower() for one in allowed_extensions}
    for file in sorted(folder.rglob("*"), key=natural_sort_key):
        if file.is_file() and (allowed is None or file.suffix.lower() in allowed):
            yield str(file)


def html_path(filename: str) -> str:
    """Return where a fragment of the page lies."""
    return str(host().layout.root / "html" / filename)


def html(filename: str) -> str:
    """Return a fragment of the page, empty when there is none."""
    path = Path(html_path(filename))
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def reload_hypernetworks() -> None:
    """Look for hypernetworks again; every job looks by itself."""


def hypernetworks() -> dict[str, str]:
    """Return the hypernetworks by name."""
    shelf = host().workshop().shelf()
    return {name: str(path) for name, path in shelf.hypernetworks().items()}


def face_restorers() -> list[Any]:
    """Return what restores faces; extensions add theirs."""
    return host().face_restorers


class FaceRestoration:
    """Base of what restores faces."""

    def name(self) -> str:
        """Return what it is called."""
        return "None"

    def restore(self, np_image: Any) -> Any:
        """Return a picture with better faces."""
        return np_image


def restore_faces(np_image: Any) -> Any:
    """Restore faces with the one that is chosen in the settings, else with the first."""
    known = face_restorers()
    if not known:
        return np_image
    wanted = host().options.face_restoration_model
    return next((one for one in known if one.name() == wanted), known[0]).restore(np_image)


class StyleDatabase:
    """The saved styles."""

    @property
    def styles(self) -> dict[str, Any]:
        """Return the styles by name."""
        return {one.name: one for one in host().services().styles()}

    def get_style_prompts(self, styles: Any) -> list[str]:
        """Return what the prompts of styles say."""
        known = self.styles
        return [known[name].prompt for name in styles if name in known]

    def get_negative_style_prompts(self, styles: Any) -> list[str]:
        """Return what the negative prompts of styles say."""
        known = self.styles
        return [known[name].negative_prompt for name in styles if name in known]

    def apply_styles_to_prompt(self, prompt: str, styles: Any) -> str:
        """Write styles into a prompt."""
        from modules.prompting.styles import apply_styles

        return apply_styles(prompt, self.get_style_prompts(styles))

    def apply_negative_styles_to_prompt(self, prompt: str, styles: Any) -> str:
        """Write styles into a negative prompt."""
        from modules.prompting.styles import apply_styles

        return apply_styles(prompt, self.get_negative_style_prompts(styles))

    def extract_styles_from_prompt(self, prompt: str, negative_prompt: str) -> tuple[list[str], str, str]:
        """Find the styles whose texts prompts contain, and return the prompts without them."""
        from modules.imaging.infotext_styles import extract_styles

        return extract_styles(prompt, negative_prompt, host().services().styles())

    def reload(self) -> None:
        """Read the file again; it is read anew whenever it is used."""


def prompt_styles() -> StyleDatabase:
    """Return the saved styles."""
    return StyleDatabase()


def styles_files() -> list[Path]:
    """Return the files that styles are read from."""
    given = getattr(host().flags, "styles_file", None) or [host().layout.styles_file]
    return [Path(one) for one in given]


class TotalTqdm:
    """The outer bar on the console; progress is told by events here, so it only counts."""

    def __init__(self) -> None:
        self.n, self.total = 0, 0

    def reset(self) -> None:
        """Begin again."""
        self.n = 0

    def update(self, n: int = 1) -> None:
        """Count."""
        self.n += n

    def updateTotal(self, new_total: int) -> None:  # noqa: N802 - A1111's name
        """Set how many there are."""
        self.total = new_total

    def clear(self) -> None:
        """Forget everything."""
        self.n = self.total = 0


class MemoryMonitor:
    """The memory of the card."""

    disabled = True

    def monitor(self) -> None:
        """Begin to watch."""

    def read(self) -> dict[str, int]:
        """Return bytes in use."""
        cuda = host().services().memory().get("cuda") or {}
        return {name: value for name, value in cuda.items() if isinstance(value, int)}

    def stop(self) -> dict[str, int]:
        """End watching and return what was seen."""
        return self.read()


class Interrogator:
    """Describes pictures, where something that can do so is there."""

    def interrogate(self, pil_image: Any) -> str:
        """Describe a picture.

        Raises:
            UnsupportedFeature: nothing can.
        """
        from modules.domain.errors import UnsupportedFeature

        raise UnsupportedFeature("describing pictures")

    def load(self) -> None:
        """Load the networks; there are none."""

    def unload(self) -> None:
        """Forget the networks; there are none."""

    def send_blip_to_ram(self) -> None:
        """Move a network off the device; there is none."""


class OptionsCategories:
    """Headings over the sections of the settings."""

    def __init__(self) -> None:
        self.mapping: dict[str, str] = {}

    def register_category(self, category_id: str, label: str) -> str:
        """Add a heading."""
        self.mapping.setdefault(category_id, label)
        return category_id


class ModelData:
    """What holds the model in memory."""

    was_loaded_at_least_once = True

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.loaded_sd_models: list[Any] = []
        self._given: Any = None

    @property
    def sd_model(self) -> Any:
        """The model in memory; None when there is none."""
        from modules.compat.sd_model import SdModel

        if self._given is not None:
            return self._given
        return SdModel() if host().workshop().pool.loaded is not None else None

    @sd_model.setter
    def sd_model(self, value: Any) -> None:
        self._given = value

    def get_sd_model(self) -> Any:
        """Return the model; its parts are loaded when somebody looks at them."""
        from modules.compat.sd_model import sd_model_now

        return self._given or sd_model_now()

    def set_sd_model(self, v: Any, already_loaded: bool = False) -> None:
        """Let another object stand for the model."""
        self._given = v


class SkipWritingToConfig:
    """Kept for extensions that switch models; nothing global is written by a switch here."""

    skip = False

    def __enter__(self) -> "SkipWritingToConfig":
        return self

    def __exit__(self, *_error: object) -> None:
        """End."""


def report(message: str, *, exc_info: bool = False) -> None:
    """Tell the log of something, perhaps with the error that is being handled."""
    logger.error("%s", message, exc_info=exc_info)


def display(e: BaseException, task: str, *, full_traceback: bool = False) -> None:
    """Tell the log of an error."""
    logger.error("%s: %s: %s", task or "error", type(e).__name__, e, exc_info=e if full_traceback else None)


def display_once(e: BaseException, task: str) -> None:
    """Tell the log of an error, once for each task."""
    if task not in host().told:
        host().told.add(task)
        display(e, task)


def print_error_explanation(message: str) -> None:
    """Tell the log."""
    logger.error("%s\n%s", message, "".join(traceback.format_stack(limit=3)))


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


def basedir() -> str:
    """Return the folder of the extension whose script file runs at this moment, else that of the program."""
    loading = host().loading
    return str(loading[-1].folder if loading else host().layout.root)


def list_scripts(scriptdirname: str, extension: str, *, include_extensions: bool = True) -> list[ScriptFile]:
    """List files of one folder of the program and of all extensions."""
    from modules.extending.discover import files_of

    own = host().layout.root / scriptdirname
    found = [
        ScriptFile(str(host().layout.root), one.name, str(one))
        for one in (sorted(own.iterdir()) if own.is_dir() else ())
        if one.suffix.lower() == extension
    ]
    if include_extensions:
        for one in host().extensions:
            paths = files_of(one, scriptdirname, extension) if one.active else ()
            found += [ScriptFile(str(one.folder), path.name, str(path)) for path in paths]
    return found


def list_files_with_name(filename: str) -> list[str]:
    """List files of this name in the folders of the program and of all extensions."""
    places = [host().layout.root, *(one.folder for one in host().extensions if one.active)]
    return [str(place / filename) for place in places if (place / filename).is_file()]


def get_crop_region_v2(mask: Image.Image, pad: int = 0) -> tuple[int, int, int, int] | None:
    """Return the box around what is masked; None for a blank mask."""
    return masks.region(mask, pad)


def get_crop_region(mask: Image.Image, pad: int = 0) -> tuple[int, int, int, int]:
    """Return the box around what is masked; of a blank mask A1111's turned one."""
    import numpy as np

    picture = mask if isinstance(mask, Image.Image) else Image.fromarray(np.asarray(mask))
    box = masks.region(picture, pad)
    if box is not None:
        return box
    width, height = picture.size
    return max(width - pad, 0), max(height - pad, 0), min(pad, width), min(pad, height)


def expand_crop_region(
    crop_region: Any, processing_width: int, processing_height: int, image_width: int, image_height: int
) -> tuple[int, int, int, int]:
    """Widen a box to the proportions of a size."""
    return masks.in_proportion(crop_region, (processing_width, processing_height), (image_width, image_height))


def fill(image: Image.Image, mask: Image.Image) -> Image.Image:
    """Replace what is masked by its surroundings."""
    return masks.filled(image, mask)


def create_binary_mask(image: Image.Image, round: bool = True) -> Image.Image:
    """Return a mask of a drawing, from its transparency if it has any."""
    return masks.mask_of(image, rounded=round)


def apply_overlay(image: Image.Image, paste_loc: Any, overlay: Image.Image | None) -> tuple[Image.Image, Image.Image]:
    """Put a picture back where it was cropped from, under what is kept; also return it without."""
    if overlay is None:
        return image, image.copy()
    if paste_loc is not None:
        x, y, width, height = paste_loc
        image = paste_back(image, overlay.size, (x, y, x + width, y + height))
    return masks.overlaid(image, overlay), image.copy()


def setup_color_correction(image: Image.Image) -> Image.Image:
    """Return what colours are matched with."""
    return image.copy()


def apply_color_correction(correction: Image.Image, original_image: Image.Image) -> Image.Image:
    """Give a picture the colours of another one."""
    return with_luminosity(with_colours_of(original_image, correction), original_image)


def old_hires_fix_first_pass_dimensions(width: int, height: int) -> tuple[int, int]:
    """Return the size of the first pass as A1111 once chose it."""
    factor = (512 * 512 / (width * height)) ** 0.5
    return int(-(-width * factor // 64) * 64), int(-(-height * factor // 64) * 64)


def randn(seed: int, shape: Any, generator: Any = None) -> Any:
    """Draw noise of a seed from the source that the settings ask for."""
    return _noise(shape, [seed]).initial()[0]


def create_generator(seed: int) -> Any:
    """Return a generator of a seed."""
    import torch

    return torch.Generator().manual_seed(int(seed))


def slerp(val: float, low: Any, high: Any) -> Any:
    """Blend two noises."""
    from modules.sampling import noise

    return noise.slerp(val, low, high)


def _noise(shape: Any, seeds: Any, **more: Any) -> Any:
    from modules.sampling.noise import ImageNoise

    source = host().options.randn_source
    channels, height, width = (int(one) for one in shape)
    return ImageNoise([int(one) for one in seeds], (channels, height, width), host().workshop().pool.policy.device, source=source, **more)  # fmt: skip


def create_random_tensors(
    shape: Any, seeds: Any, subseeds: Any = None, subseed_strength: float = 0.0, seed_resize_from_h: int = 0,
    seed_resize_from_w: int = 0, p: Any = None,
) -> Any:  # fmt: skip
    """Draw the noise of pictures: [B, C, h, w]."""
    return ImageRNG(shape, seeds, subseeds, subseed_strength, seed_resize_from_h, seed_resize_from_w).next()


class ImageRNG:
    """Draws noise for several pictures, each from its own seed."""

    def __init__(
        self, shape: Any, seeds: Any, subseeds: Any = None, subseed_strength: float = 0.0, seed_resize_from_h: int = 0,
        seed_resize_from_w: int = 0,
    ) -> None:  # fmt: skip
        self.shape = tuple(map(int, shape))
        self.seeds, self.subseeds, self.subseed_strength = seeds, subseeds, subseed_strength
        resized = seed_resize_from_h > 0 and seed_resize_from_w > 0
        self._noise = _noise(
            self.shape, seeds, subseeds=list(subseeds or [0] * len(seeds)), subseed_strength=subseed_strength,
            seed_resize=(seed_resize_from_h // 8, seed_resize_from_w // 8) if resized else None,
        )  # fmt: skip
        self.is_first = True

    def first(self) -> Any:
        """Return the noise that pictures begin with."""
        return self._noise.initial()

    def next(self) -> Any:
        """Return the next noise."""
        if self.is_first:
            self.is_first = False
            return self.first()
        return self._noise.next()


def decode_first_stage(model: Any, x: Any) -> Any:
    """Decode latents [B, C, h, w] to pictures of about -1..1."""
    return model.decode_first_stage(x)


def sha256(filename: str, title: str, use_addnet_hash: bool = False) -> str | None:
    """Return the hash of a file, remembered until the file changes; None while hashing is off."""
    cache_ = host().workshop().shelf().hashes
    if cache_ is None:
        return None
    if use_addnet_hash:
        return cache_.lora_hash(Path(filename), {})
    return cache_.sha256(Path(filename))


def sha256_from_cache(filename: str, title: str, use_addnet_hash: bool = False) -> str | None:
    """Return the hash of a file if it is known."""
    cache_ = host().workshop().shelf().hashes
    if cache_ is None:
        return None
    return cache_.known_lora_hash(Path(filename), {}) if use_addnet_hash else cache_.known_sha256(Path(filename))


def calculate_sha256(filename: str) -> str:
    """Return the hash of a file.

    Raises:
        BrokenFile: it cannot be read.
    """
    from modules.library.hashes import file_sha256

    return file_sha256(Path(filename)) or ""


class CacheSection(MutableMapping[str, Any]):
    """One part of what extensions keep between starts; written with every change."""

    def __init__(self, name: str) -> None:
        self._path = host().layout.cache / "extensions" / f"{re.sub(r'[^A-Za-z0-9_-]', '_', name)}.json"
        self._values: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):
            self._values = json.loads(self._path.read_text(encoding="utf-8"))

    def _write(self) -> None:
        atomic.make_folder(self._path.parent)
        atomic.write_json(self._path, self._values)

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._values[key] = value
        self._write()

    def __delitem__(self, key: str) -> None:
        del self._values[key]
        self._write()

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def cache(subsection: str) -> CacheSection:
    """Return a part of what extensions keep."""
    return host().caches.setdefault(subsection, CacheSection(subsection))


def dump_cache() -> None:
    """Write what is kept; every change is written at once."""


def cached_data_for_file(subsection: str, title: str, filename: str, func: Callable[[], Any]) -> Any:
    """Return what was worked out for a file, again when the file changed."""
    kept, changed = cache(subsection), Path(filename).stat().st_mtime
    entry = kept.get(title)
    if entry is not None and entry.get("mtime") == changed:
        return entry.get("value")
    value = func()
    if value is not None:
        kept[title] = {"mtime": changed, "value": value}
    return value


def torch_load() -> Any:
    """Return torch's own loader."""
    import torch

    return torch.load


def checked_load(filename: Any, *args: Any, **kwargs: Any) -> Any:
    """Load a file of torch's; what is in it may be data only."""
    import torch

    return torch.load(filename, *args, **{"weights_only": True, **kwargs})


class ExtraPickle:
    """Kept for extensions that allow more classes while they load; data is all that is loaded here."""

    def __init__(self, handler: Any) -> None:
        self.handler = handler

    def __enter__(self) -> "ExtraPickle":
        return self

    def __exit__(self, *_error: object) -> None:
        """End."""


def send_everything_to_cpu() -> None:
    """Have models leave the device."""
    host().services().unload_models()


def setup_for_low_vram(sd_model: Any, use_medvram: bool) -> None:
    """Prepare a model for a small card; the program decides that by itself."""


def is_enabled(sd_model: Any) -> bool:
    """Tell whether a model is moved part by part."""
    from modules.residency.device import Offload

    return host().workshop().pool.policy.offload is not Offload.NONE


is_needed = is_enabled


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


def list_samplers() -> list[Any]:
    """Return the samplers."""
    from modules.compat.samplers import sampler_list

    return sampler_list()


class Timer:
    """Measures parts of something."""

    def __init__(self, print_log: bool = False) -> None:
        self.start = self._last = time.time()
        self.records: dict[str, float] = {}
        self.total = 0.0
        self.base_category = ""

    def elapsed(self) -> float:
        """Return the seconds since this was asked last."""
        now = time.time()
        passed, self._last = now - self._last, now
        return passed

    def record(self, category: str, extra_time: float = 0) -> None:
        """Count the time since the last call for something."""
        passed = self.elapsed() + extra_time
        key = self.base_category + category
        self.records[key] = self.records.get(key, 0) + passed
        self.total += passed

    def subcategory(self, name: str) -> "TimerSubcategory":
        """Return a context whose records belong to something."""
        self.elapsed()
        return TimerSubcategory(self, name)

    def summary(self) -> str:
        """Return the times in a line."""
        parts = ", ".join(f"{name}: {value:.1f}s" for name, value in self.records.items() if value >= 0.1)
        return f"{self.total:.1f}s" + (f" ({parts})" if parts else "")

    def reset(self) -> None:
        """Begin again."""
        self.__init__()

    def dump(self) -> dict[str, Any]:
        """Return the times."""
        return {"total": self.total, "records": self.records}


class TimerSubcategory:
    """Puts a name before what a timer records inside."""

    def __init__(self, timer: Timer, category: str) -> None:
        self.timer, self.category, self._before = timer, category, timer.base_category

    def __enter__(self) -> None:
        self.timer.base_category = f"{self._before}{self.category}/"

    def __exit__(self, *_error: object) -> None:
        """End."""
        self.timer.base_category = self._before
        self.timer.record(self.category)


def is_script_loaded(name: str) -> bool:
    """Tell whether a script file of this name was loaded."""
    return name in sys.modules
