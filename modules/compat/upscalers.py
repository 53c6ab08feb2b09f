"""`modules.upscaler`: what enlarges pictures."""

from typing import Any

from PIL import Image

from modules.compat.host import host
from modules.imaging.resize import plain


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
        self.model_download_path = None
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
    """Return everything that enlarges pictures: None, Lanczos and Nearest first, then those of extensions."""
    found = [one for made in (UpscalerNone(), UpscalerLanczos(), UpscalerNearest()) for one in made.scalers]
    for cls in _subclasses(Upscaler):
        if cls not in (UpscalerNone, UpscalerLanczos, UpscalerNearest):
            _remember(cls)
    return [*found, *(one for made in host().upscalers for one in made.scalers)]


def _subclasses(cls: type) -> list[type]:
    return [one for sub in cls.__subclasses__() for one in (sub, *_subclasses(sub))]


def _remember(cls: type) -> None:
    """Make one object of a class that an extension defined."""
    from modules.compat.callbacks import guarded

    if any(type(one) is cls for one in host().upscalers):
        return
    with guarded(f"upscaler {cls.__name__}"):
        made = cls(None) if cls.__init__ is not Upscaler.__init__ else cls()
        host().upscalers.append(made)
