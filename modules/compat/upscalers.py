"""`modules.upscaler`: what enlarges pictures."""

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from PIL import Image

from modules.compat.host import host
from modules.imaging.resize import plain

if TYPE_CHECKING:
    from modules.imaging.upscale import NamedUpscaler


class Upscaler:
    """Base of what enlarges pictures."""

    name: str | None = None
    model_path: str | None = None
    model_name: str | None = None
    model_url: str | None = None
    enable = True
    filter = None
    model = None
    user_path: str | None = None
    scalers: list[Any]
    tile = True

    def __init__(self, create_dirs: bool = False) -> None:
        self.scalers = []
        self.model_download_path: str | None = None
        self.device: Any = None
        self.half, self.scale, self.mod_scale, self.can_tile = False, 1, None, True
        self.tile_size, self.tile_pad, self.pre_pad = host().options.ESRGAN_tile, host().options.ESRGAN_tile_overlap, 0
        self.mod_pad_h = self.img = self.output = None
        if self.model_path is None and self.name:
            self.model_path = str(host().layout.models / self.name)
        if self.model_path and create_dirs:
            from pathlib import Path

            from modules.files.atomic import make_folder

            make_folder(Path(self.model_path))

    def do_upscale(self, img: Image.Image, selected_model: str) -> Image.Image:
        """Enlarge a picture once, by as much as the model does."""
        return img

    def upscale(self, img: Image.Image, scale: float, selected_model: str | None = None) -> Image.Image:
        """Enlarge a picture; a model that does less is used up to three times."""
        width, height = int((img.width * scale) // 8 * 8), int((img.height * scale) // 8 * 8)
        for _ in range(3):
            if img.width >= width and img.height >= height:
                break
            before = img.size
            img = self.do_upscale(img, selected_model or "")
            if img.size == before:
                break
        return img if img.size == (width, height) else plain(img, width, height)

    def load_model(self, path: str) -> Any:
        """Load a model."""

    def find_models(self, ext_filter: Any = None) -> list[str]:
        """List the files of models."""
        from modules.compat.downloads import load_models

        return load_models(self.model_path or "", self.model_url, self.user_path, ext_filter)

    def update_status(self, prompt: str) -> None:
        """Tell how far it is."""


class UpscalerData:
    """One line of the list of upscalers."""

    def __init__(self, name: str, path: str | None, upscaler: Any = None, scale: int = 4, model: Any = None) -> None:
        self.name, self.data_path, self.local_data_path = name, path, path
        self.scaler, self.scale, self.model = upscaler, scale, model

    def __repr__(self) -> str:
        return f"<UpscalerData name={self.name} path={self.data_path} scale={self.scale}>"


class UpscalerNone(Upscaler):
    """Leaves pictures as they are."""

    name = "None"

    def __init__(self, dirname: Any = None) -> None:
        super().__init__()
        self.scalers = [UpscalerData("None", None, self)]

    def upscale(self, img: Image.Image, scale: float, selected_model: str | None = None) -> Image.Image:
        """Return the picture."""
        return img


class UpscalerLanczos(Upscaler):
    """Resizes without a network."""

    name = "Lanczos"

    def __init__(self, dirname: Any = None) -> None:
        super().__init__()
        self.scalers = [UpscalerData(self.name or "", None, self)]

    def do_upscale(self, img: Image.Image, selected_model: str) -> Image.Image:
        """Enlarge a picture four times."""
        return plain(img, img.width * 4, img.height * 4, self.name or "Lanczos")


class UpscalerNearest(UpscalerLanczos):
    """Repeats pixels."""

    name = "Nearest"


def known_upscalers() -> list[UpscalerData]:
    """Return everything that enlarges pictures: None, Lanczos and Nearest first; kept, so that what is appended stays."""
    found = host().upscalers
    if not found:
        found += [one for made in (UpscalerNone(), UpscalerLanczos(), UpscalerNearest()) for one in made.scalers]
    load_upscalers()
    return found


def replace_upscalers(entries: Any) -> None:
    """Put others in the place of all upscalers; those of this program stay usable."""
    load_upscalers()
    host().upscalers[:] = list(entries)


def load_upscalers() -> None:
    """Make one object of each class that an extension defined since the last look, and list what it offers."""
    bound = host()
    # A file that was loaded again leaves its old classes behind; the newest of each name counts.
    newest = {cls.__name__: cls for cls in _subclasses(Upscaler) if cls not in OWN and cls.__module__ in sys.modules}
    for name, cls in newest.items():
        if bound.upscaler_classes.get(name) is not cls:
            bound.upscaler_classes[name] = cls
            bound.upscalers += _offered(cls)


def added_upscalers() -> "list[NamedUpscaler]":
    """Return those of extensions in the form of this program."""
    return [_named(one) for one in known_upscalers() if type(one.scaler) not in OWN and one.name]


def _named(data: UpscalerData) -> "NamedUpscaler":
    from modules.imaging.upscale import NamedUpscaler

    scaler: Any = data.scaler
    model = getattr(scaler, "model_name", None)
    return NamedUpscaler(
        name=str(data.name), enlarge=partial(_enlarged, data), scale=float(data.scale or 4),
        model_name=str(model) if model else None, model_path=str(data.data_path) if data.data_path else None,
    )  # fmt: skip


def _enlarged(data: UpscalerData, image: Image.Image, factor: float) -> Image.Image:
    """Have an extension enlarge a picture.

    Raises:
        InvalidRequest: what it returned is no picture.
    """
    from modules.domain.errors import InvalidRequest

    scaler: Any = data.scaler
    own = getattr(type(scaler), "upscale", None)
    if own is None or own is Upscaler.upscale:
        made = scaler.do_upscale(image, data.data_path)
    else:
        made = scaler.upscale(image, factor, data.data_path)
    if not isinstance(made, Image.Image):
        raise InvalidRequest(
            f"the upscaler {data.name} returned {type(made).__name__} instead of a picture", field="upscaler"
        )
    return made.convert("RGB")


def _subclasses(cls: type) -> list[type]:
    return [one for sub in cls.__subclasses__() for one in (sub, *_subclasses(sub))]


def _offered(cls: type) -> list[UpscalerData]:
    from modules.compat.callbacks import guarded

    with guarded(f"upscaler {cls.__name__}"):
        folder = getattr(host().flags, f"{cls.__name__.lower().replace('upscaler', '')}_models_path", None)
        made: Any = cls() if cls.__init__ is Upscaler.__init__ else cls(folder)
        made.user_path, made.model_download_path = folder, folder or made.model_path
        return list(made.scalers)
    return []


OWN = (UpscalerNone, UpscalerLanczos, UpscalerNearest)
"""Classes of this program."""
