"""`shared.sd_model`: the model in memory, with the names that A1111 gives its parts."""

from typing import TYPE_CHECKING, Any

from modules.compat.host import host
from modules.compat.lent import lent_model
from modules.compat.replaced import is_own

if TYPE_CHECKING:
    from torch import Tensor, nn

    from modules.residency.model import Model

FAMILY = "family"


class DiffusionWrapper:
    """`sd_model.model`: holds the denoising network."""

    def __init__(self, unet: "nn.Module") -> None:
        self.diffusion_model = unet
        self.conditioning_key = "crossattn"

    def named_modules(self, *arguments: Any, **more: Any) -> Any:
        """Yield the layers, named as in checkpoints."""
        for name, module in self.diffusion_model.named_modules(*arguments, **more):
            yield f"diffusion_model.{name}".rstrip("."), module

    def parameters(self, recurse: bool = True) -> Any:
        """Yield the weights."""
        return self.diffusion_model.parameters(recurse)


class SdModel:
    """The model that was used last, or will be; looking at its parts loads it."""

    used_config = None
    cond_stage_key = "txt"
    is_sd3 = False
    is_ssd = False
    cond_stage_model_empty_prompt = None
    lowvram = False

    @property
    def _model(self) -> "Model":
        return lent_model()

    @property
    def _match(self) -> Any:
        return self._model.components.match

    @property
    def is_sd1(self) -> bool:
        """Whether it is of the first lineage."""
        return self._match.family == "sd1"

    @property
    def is_sd2(self) -> bool:
        """Whether it is of the second one."""
        return self._match.family == "sd2"

    @property
    def is_sdxl(self) -> bool:
        """Whether it is SDXL."""
        return self._match.family == "sdxl"

    @property
    def model(self) -> DiffusionWrapper:
        """What holds the denoising network."""
        from modules.compat.networks_names import name_layers
        from modules.compat.networks_told import dress

        dress()
        components = self._model.components
        name_layers(components)
        return DiffusionWrapper(components.unet)

    @property
    def first_stage_model(self) -> "nn.Module":
        """The VAE."""
        from modules.compat.networks_told import dress

        dress()
        return self._model.components.vae

    @property
    def cond_stage_model(self) -> "nn.Module":
        """The text encoder, or all of them."""
        from modules.compat.networks_text import wrap

        return wrap(self._model.components.text)

    @property
    def conditioner(self) -> "nn.Module":
        """The text encoders of SDXL.

        Raises:
            AttributeError: it is another model; extensions tell SDXL by this.
        """
        if not self.is_sdxl:
            raise AttributeError("only SDXL has a conditioner")
        return self.cond_stage_model

    @property
    def network_layer_mapping(self) -> dict[str, "nn.Module"]:
        """Layers by the names that files of LoRAs have for them."""
        from modules.compat.networks_names import name_layers

        return name_layers(self._model.components)

    @property
    def sd_checkpoint_info(self) -> Any:
        """What is known of its file."""
        from modules.compat.checkpoints import info_of, select_checkpoint

        loaded = host().workshop().pool.loaded
        return info_of(loaded.checkpoint) if loaded is not None else select_checkpoint()

    @property
    def sd_model_hash(self) -> str | None:
        """The short hash."""
        return self.sd_checkpoint_info.shorthash

    @property
    def sd_model_checkpoint(self) -> str:
        """The file."""
        return self.sd_checkpoint_info.filename

    @property
    def filename(self) -> str:
        """The file."""
        return self.sd_checkpoint_info.filename

    @property
    def alphas_cumprod(self) -> "Tensor":
        """[T]: how much of the picture is left at each timestep."""
        return self._model.components.prediction.table.alphas_cumprod

    @property
    def betas(self) -> "Tensor":
        """[T]: how much noise each timestep of training adds."""
        import torch

        alphas = self.alphas_cumprod
        return 1 - torch.cat([alphas[:1], alphas[1:] / alphas[:-1]])

    @property
    def sqrt_alphas_cumprod(self) -> "Tensor":
        """[T]: what a clean latent is multiplied by at each timestep."""
        return self.alphas_cumprod.sqrt().float()

    @property
    def sqrt_one_minus_alphas_cumprod(self) -> "Tensor":
        """[T]: what noise is multiplied by at each timestep."""
        return (1 - self.alphas_cumprod).sqrt().float()

    @property
    def sqrt_recip_alphas_cumprod(self) -> "Tensor":
        """[T]: what a noisy latent is multiplied by to estimate the clean one."""
        return self.alphas_cumprod.rsqrt().float()

    @property
    def sqrt_recipm1_alphas_cumprod(self) -> "Tensor":
        """[T]: what noise is multiplied by to estimate the clean latent."""
        return (1 / self.alphas_cumprod - 1).sqrt().float()

    @property
    def num_timesteps(self) -> int:
        """Timesteps of training."""
        return len(self.alphas_cumprod)

    @property
    def parameterization(self) -> str:
        """`eps` or `v`."""
        return self._model.components.prediction.target.value

    @property
    def device(self) -> Any:
        """Where latents live."""
        return self._model.device

    @property
    def dtype(self) -> Any:
        """Of the weights of the denoising network."""
        return next(self._model.components.unet.parameters()).dtype

    @property
    def latent_channels(self) -> int:
        """Channels of a latent."""
        return self._model.components.latent.channels

    def named_modules(self, *arguments: Any, **more: Any) -> Any:
        """Yield all layers, named as in checkpoints."""
        for prefix, part in self._parts():
            for name, module in part.named_modules(*arguments, **more):
                yield f"{prefix}.{name}".rstrip("."), module

    def state_dict(self) -> dict[str, Any]:
        """Return all weights, named as in checkpoints."""
        return {
            f"{prefix}.{name}": value for prefix, part in self._parts() for name, value in part.state_dict().items()
        }

    def parameters(self, recurse: bool = True) -> Any:
        """Yield all weights."""
        for _, part in self._parts():
            yield from part.parameters(recurse)

    def _parts(self) -> list[tuple[str, "nn.Module"]]:
        components = self._model.components
        text = "conditioner" if components.match.family == "sdxl" else "cond_stage_model"
        return [
            ("model.diffusion_model", components.unet),
            ("first_stage_model", components.vae),
            (text, components.text),
        ]

    def to(self, *_where: Any, **_more: Any) -> "SdModel":
        """Return itself; the program decides where models lie."""
        return self

    def cpu(self) -> "SdModel":
        """Return itself; the program decides where models lie."""
        return self

    def decode_first_stage(self, z: "Tensor") -> "Tensor":
        """Decode latents [B, C, h, w] to pictures [B, 3, H, W] of about -1..1."""
        import torch

        model = self._model
        made = [model.decode(one[None], tiling=False, fallback=None, note=_quiet) for one in z]
        return torch.stack(made).to(z.device)

    def encode_first_stage(self, x: "Tensor") -> "Tensor":
        """Encode pictures [B, 3, H, W] in -1..1 to latents [B, C, h, w] on the sampler's scale."""
        import torch

        model = self._model
        return torch.cat([model.encode(one[None], tiling=False, fallback=None, note=_quiet) for one in x])

    def get_first_stage_encoding(self, encoded: "Tensor") -> "Tensor":
        """Return latents as `encode_first_stage` gives them."""
        return encoded

    def get_learned_conditioning(self, texts: Any) -> Any:
        """Encode prompts: [B, L, D], or a dict for SDXL."""
        from modules.compat.networks_text import learned_conditioning

        return learned_conditioning(texts)

    def apply_model(self, x: "Tensor", t: "Tensor", cond: Any) -> "Tensor":
        """Run the denoising network once; its raw output [B, C, h, w].

        Args:
            x: [B, C, h, w], scaled as the network expects it.
            t: [B], timesteps.
            cond: encoded prompts, or a dict with `c_crossattn` (`crossattn` and `vector` for SDXL) and `c_concat`.
        """
        from modules.compat.conditioning import from_network_dict
        from modules.sampling.types import Conditioning

        told = from_network_dict(cond, Conditioning(tokens=x.new_zeros(len(x), 1, 1)))
        with self._model.network(tiling=False, note=_quiet) as network:
            return network(x, t, told)


_OWN_APPLY_MODEL = SdModel.apply_model


def answers_itself(model: Any) -> bool:
    """Tell whether an extension replaced `apply_model` of a model, on it or on its class."""
    if isinstance(model, SdModel):
        return not is_own(model, "apply_model", _OWN_APPLY_MODEL)
    return "apply_model" in vars(model)


def _quiet(_text: str) -> None:
    """Say nothing; extensions that use the model by themselves have nobody to tell."""


def sd_model_now() -> SdModel:
    """Return the model, without loading it; always the same object, so that what extensions put on it stays."""
    from modules.compat.host import facade

    bound = host()
    if bound.sd_model is None:
        bound.sd_model = SdModel()
    return vars(facade("shared")).get("_assigned_sd_model") or bound.sd_model


def load_model(checkpoint_info: Any = None, already_loaded_state_dict: Any = None) -> Any:
    """Make a checkpoint the configured one and load it."""
    return reload_model_weights(info=checkpoint_info)


def reload_model_weights(sd_model: Any = None, info: Any = None, forced_reload: bool = False) -> Any:
    """Make a checkpoint the configured one and load it; without one, that of the settings."""
    if info is not None:
        host().options.assign("sd_model_checkpoint", getattr(info, "title", str(info)))
    host().services().reload_model()
    return sd_model_now()
