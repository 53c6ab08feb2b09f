"""Where everything lies on disk: the folder names that people's collections already use."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, get_args

from modules.files.atomic import make_folder

_NO_OVERRIDES: Mapping[str, Path] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """All folders and files with a fixed place. A value; nothing is touched until `ensure`.

    The annotation of a place says the folder it lies in, its name there, and whether `ensure` creates it.
    """

    root: Path
    """The program itself."""
    data: Path
    """`--data-dir`: settings, outputs, extensions."""
    models: Path
    """`--models-dir`."""

    checkpoints: Annotated[Path, "models", "Stable-diffusion", "ensure"]
    vae: Annotated[Path, "models", "VAE", "ensure"]
    lora: Annotated[Path, "models", "Lora", "ensure"]
    lycoris: Annotated[Path, "models", "LyCORIS"]
    hypernetworks: Annotated[Path, "models", "hypernetworks", "ensure"]
    embeddings: Annotated[Path, "data", "embeddings", "ensure"]
    controlnet: Annotated[Path, "models", "ControlNet", "ensure"]
    controlnet_preprocessors: Annotated[Path, "models", "ControlNetPreprocessor"]
    esrgan: Annotated[Path, "models", "ESRGAN", "ensure"]
    realesrgan: Annotated[Path, "models", "RealESRGAN"]
    bsrgan: Annotated[Path, "models", "BSRGAN"]
    dat: Annotated[Path, "models", "DAT"]
    hat: Annotated[Path, "models", "HAT"]
    swinir: Annotated[Path, "models", "SwinIR"]
    scunet: Annotated[Path, "models", "ScuNET"]
    ldsr: Annotated[Path, "models", "LDSR"]
    gfpgan: Annotated[Path, "models", "GFPGAN"]
    codeformer: Annotated[Path, "models", "Codeformer"]
    vae_approx: Annotated[Path, "models", "VAE-approx"]
    vae_taesd: Annotated[Path, "models", "VAE-taesd"]
    blip: Annotated[Path, "models", "BLIP"]
    deepdanbooru: Annotated[Path, "models", "torch_deepdanbooru"]
    midas: Annotated[Path, "models", "midas"]
    karlo: Annotated[Path, "models", "karlo"]
    opencv: Annotated[Path, "models", "opencv"]
    clip: Annotated[Path, "models", "CLIP"]
    text_encoders: Annotated[Path, "models", "text_encoder"]
    diffusers: Annotated[Path, "models", "diffusers"]
    svd: Annotated[Path, "models", "svd"]
    z123: Annotated[Path, "models", "z123"]
    unet_trt: Annotated[Path, "models", "Unet-trt"]
    unet_onnx: Annotated[Path, "models", "Unet-onnx"]

    extensions: Annotated[Path, "data", "extensions", "ensure"]
    extensions_builtin: Annotated[Path, "root", "extensions-builtin"]
    scripts: Annotated[Path, "root", "scripts"]
    outputs: Annotated[Path, "data", "outputs"]
    txt2img_samples: Annotated[Path, "data", "outputs/txt2img-images"]
    img2img_samples: Annotated[Path, "data", "outputs/img2img-images"]
    extras_samples: Annotated[Path, "data", "outputs/extras-images"]
    txt2img_grids: Annotated[Path, "data", "outputs/txt2img-grids"]
    img2img_grids: Annotated[Path, "data", "outputs/img2img-grids"]
    init_images: Annotated[Path, "data", "outputs/init-images"]
    saved_images: Annotated[Path, "data", "log/images"]
    cache: Annotated[Path, "data", "cache"]
    training_logs: Annotated[Path, "data", "textual_inversion"]

    settings_file: Annotated[Path, "data", "config.json"]
    ui_config_file: Annotated[Path, "data", "ui-config.json"]
    styles_file: Annotated[Path, "data", "styles.csv"]
    presets_file: Annotated[Path, "data", "model-presets.json"]
    """Values of controls that were saved for checkpoints."""
    params_file: Annotated[Path, "data", "params.txt"]
    user_css: Annotated[Path, "data", "user.css"]
    cache_json: Annotated[Path, "data", "cache.json"]
    """Hashes that A1111 kept; read once, never written."""

    config_states: Annotated[Path, "root", "config_states"]
    localizations: Annotated[Path, "root", "localizations"]
    templates: Annotated[Path, "root", "textual_inversion_templates"]
    configs: Annotated[Path, "root", "configs"]
    interrogate: Annotated[Path, "root", "interrogate"]
    repositories: Annotated[Path, "root", "repositories"]
    tmp: Annotated[Path, "root", "tmp"]
    notification: Annotated[Path, "root", "notification.mp3"]

    @classmethod
    def of(
        cls,
        root: Path,
        data_dir: Path | None = None,
        models_dir: Path | None = None,
        overrides: Mapping[str, Path] = _NO_OVERRIDES,
    ) -> "Layout":
        """Derive every place from the program folder and the flags.

        Args:
            root: the program folder.
            data_dir: `--data-dir`; the program folder when `None`.
            models_dir: `--models-dir`; `models` in the data folder when `None`.
            overrides: places that a flag of their own sets, by field name (`lora`, `settings_file`, ...).

        Raises:
            KeyError: an override names no field.
        """
        data = (data_dir or root).absolute()
        bases = {"root": root.absolute(), "data": data, "models": (models_dir or data / "models").absolute()}
        places: dict[str, Path] = {}
        for place in fields(cls):
            if annotation := get_args(place.type):
                places[place.name] = bases[annotation[1]] / annotation[2]
        unknown = overrides.keys() - places.keys()
        if unknown:
            raise KeyError(", ".join(sorted(unknown)))
        return cls(**bases, **places | {name: path.absolute() for name, path in overrides.items()})

    def ensure(self) -> None:
        """Create the folders that people put files into. Output folders appear with their first file.

        Raises:
            StorageFault: one cannot be created.
        """
        for place in fields(self):
            if "ensure" in get_args(place.type):
                make_folder(getattr(self, place.name))
