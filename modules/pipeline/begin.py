"""What a run on a picture starts from, as tensors: the clean latent, what of it is kept, what the network sees of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from modules.domain.errors import InvalidRequest
from modules.domain.plan import BatchPlan, Plan
from modules.domain.request import SoftSpec
from modules.families.depth import depth_input
from modules.imaging.resize import LATENT
from modules.pipeline.canvas import LATENT_NOISE, LATENT_NOTHING, Canvas
from modules.pipeline.precision import vae_fallback
from modules.pipeline.session import Session
from modules.pipeline.soft import mixed
from modules.residency.model import Model
from modules.sampling.noise import ImageNoise

INPAINTING, EDITING, DEPTH, UNCLIP = "inpainting", "pix2pix", "depth", "unclip"
"""Variants of a model whose network is told of the picture besides the latent."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LatentMask:
    """Which part of a latent stays as it was."""

    clean: Tensor
    """[B, C, h, w]: the latent that is kept where nothing is repainted."""
    repaint: Tensor
    """[1, 1, h, w]: 1 where the latent is repainted, 0 where it is kept, shares between them."""
    soft: SoftSpec | None = None
    """How shares are mixed; None mixes them evenly."""

    def over_estimate(self, x0: Tensor, sigma: Tensor) -> Tensor:
        """Put the kept part over an estimate x0 [B, C, h, w] that was made at sigma [B]."""
        if self.soft:
            mask = self._fitting(x0)
            return mixed(mask.clean, x0, mask.repaint, sigma.view(-1, 1, 1, 1), self.soft)
        return self.over(x0)

    def over_result(self, x: Tensor) -> Tensor:
        """Put the kept part over the last x [B, C, h, w]; where shares are mixed, pictures are put together instead."""
        return x if self.soft else self.over(x)

    def over(self, x: Tensor, scale: float | Tensor = 1.0) -> Tensor:
        """Put the kept part over x [B, C, h, w]; `scale` multiplies the kept latent."""
        mask = self._fitting(x)
        return x * mask.repaint + mask.clean * (1 - mask.repaint) * scale

    def _fitting(self, x: Tensor) -> "LatentMask":
        """Return the mask in the size of x; some samplers ask for estimates of smaller latents on the way."""
        size = x.shape[-2:]
        if self.repaint.shape[-2:] == size:
            return self
        clean, repaint = (F.interpolate(one, size=size, mode="nearest-exact") for one in (self.clean, self.repaint))
        return replace(self, clean=clean, repaint=repaint)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Begin:
    """A clean latent to start from."""

    latent: Tensor
    """[B, C, h, w] on the sampler's scale."""
    mask: LatentMask | None = None
    extras: Mapping[str, Tensor] = field(default_factory=lambda: MappingProxyType({}))
    """Further inputs of the network, each [B, ...]."""
    pictures: tuple[Image.Image, ...] = ()
    """What the latent was encoded from, where a first pass is left out."""


def begin_on(session: Session, plan: Plan, canvas: Canvas) -> Begin:
    """Encode the pictures of a canvas with the model in use; made once and shared by all batches."""
    with session.clock("encode"):
        pictures = [to_tensor(image) for image in canvas.pictures]
        latent = torch.cat([encoded(session, picture, plan) for picture in pictures])
        if plan.request.init and plan.request.init.resize_mode == LATENT:
            latent = F.interpolate(latent, size=latent_size(session.model, plan), mode="bilinear")
        size = plan.request.batch.size
        if plan.first_given:
            return Begin(latent=repeated(latent, size), pictures=canvas.pictures * size)
        extras = seen_of(session, plan, pictures, canvas, (latent.shape[-2], latent.shape[-1]))
        latent, extras = repeated(latent, size), {name: repeated(value, size) for name, value in extras.items()}
        return _masked(session.model, plan, canvas, latent, extras)


def encoded(session: Session, picture: Tensor, plan: Plan, *, exact: bool = False) -> Tensor:
    """Encode one picture [1, 3, H, W] in -1..1 with the model in use; float32 [1, C, h, w] on the device.

    With `exact` nothing stands in for the VAE.
    """
    model, ctx = session.model, session.ctx
    fallback = vae_fallback(ctx.settings, model)
    return model.encode(picture, tiling=plan.tiling, fallback=fallback, note=ctx.note, exact=exact)


def seen_of(
    session: Session, plan: Plan, pictures: list[Tensor], canvas: Canvas | None, size: tuple[int, int]
) -> dict[str, Tensor]:
    """Return what the network of the model in use is told besides the latent.

    Args:
        session: knows the model.
        plan: has the weight of the mask.
        pictures: each [1, 3, H, W] in -1..1.
        canvas: has a mask of the pictures' size, without which everything is masked, and may have their depth.
        size: (h, w) of the latent.

    Raises:
        InvalidRequest: the model looks at pictures, and the part of it that does so is nowhere.
    """
    variant = session.model.components.match.variant
    if variant in (DEPTH, UNCLIP):
        return _looked_at(session, plan, pictures, canvas, size)
    if variant == EDITING:
        spec, match = session.model.components.latent, session.model.components.match
        shown = [encoded(session, one, plan, exact=True) for one in pictures]
        if "edm_range" not in match.config:  # those were trained on latents as samplers see them
            shown = [one / spec.scale + spec.shift for one in shown]
        return {"concat": torch.cat(shown)}
    if variant != INPAINTING:
        return {}
    hidden = _hidden(canvas.mask if canvas else None, pictures[0], plan)
    shown = [encoded(session, one * (1 - hidden * plan.image.mask_weight), plan, exact=True) for one in pictures]
    small = F.interpolate(hidden, size=size).to(shown[0])
    return {"concat": torch.cat([torch.cat([small, latent], dim=1) for latent in shown])}


def _looked_at(
    session: Session, plan: Plan, pictures: list[Tensor], canvas: Canvas | None, size: tuple[int, int]
) -> dict[str, Tensor]:
    """Return what a model that looks at pictures saw; a depth that came with the request comes before an estimate."""
    model = session.model
    if model.components.match.variant == DEPTH and canvas and canvas.depth:
        depth = torch.from_numpy(np.asarray(canvas.depth.getchannel(0), dtype=np.float32))[None, None]
        return {"concat": depth_input(depth, size).to(model.device)}
    if model.components.eye is None:
        raise InvalidRequest(f"{plan.model.name} {_BLIND[model.components.match.variant]}", field="init_images")
    seen = [model.look(picture, size) for picture in pictures]
    return {name: torch.cat([one[name] for one in seen]) for name in seen[0]}


_BLIND = {
    DEPTH: "brings no depth estimator: put dpt_hybrid-midas-501f0c75.pt into models/midas, or send a depth map along",
    UNCLIP: "brings no image embedder, so it can only be used from noise, in txt2img",
}


def told_of(model: Model, plan: Plan, batch: BatchPlan, begin: Begin) -> Mapping[str, Tensor]:
    """Return what the network is told of the pictures of a batch, each [B, ...]; noise on it is that of their seeds."""
    eye = model.components.eye
    if eye is None:
        return begin.extras

    def noise(count: int) -> Tensor:
        seeds = [image.seed for image in batch.images]
        return ImageNoise(seeds, (1, 1, count), model.device, source=plan.noise.source).initial().flatten(1)

    return eye.told(begin.extras, image_noise_level(plan), noise)


def image_noise_level(plan: Plan) -> int:
    """Return how much noise hides the picture that an unCLIP model looks at, 0..999."""
    look = plan.request.init.look if plan.request.init else None
    return look.noise if look else 0


def image_scale(model: Model, plan: Plan) -> float:
    """Return how strongly the picture leads an editing model; 1, also for other models, asks for nothing special."""
    init = plan.request.init
    if model.components.match.variant != EDITING or init is None or init.image_cfg_scale is None:
        return 1.0
    return init.image_cfg_scale


def latent_size(model: Model, plan: Plan) -> tuple[int, int]:
    """Return (height, width) of the latent of the first pass, rounded down."""
    down = model.components.latent.downscale
    return plan.main.size.height // down, plan.main.size.width // down


def to_tensor(image: Image.Image) -> Tensor:
    """Return an RGB picture as [1, 3, H, W] in -1..1."""
    values = torch.from_numpy(np.asarray(image.convert("RGB"), dtype=np.float32) / 255)
    return values.permute(2, 0, 1)[None] * 2 - 1


def repeated(value: Tensor, count: int) -> Tensor:
    """Repeat a single row for a whole batch."""
    return value if value.shape[0] == count else value.expand(count, *value.shape[1:])


def for_batch(begin: Begin, batch: BatchPlan) -> Begin:
    """Cut a start down to the pictures of the last, smaller batch."""
    count = len(batch.images)
    if begin.latent.shape[0] == count:
        return begin
    mask = begin.mask
    return replace(
        begin,
        latent=begin.latent[:count],
        mask=replace(mask, clean=mask.clean[:count]) if mask else None,
        extras={name: value[:count] for name, value in begin.extras.items()},
    )


def _masked(model: Model, plan: Plan, canvas: Canvas, latent: Tensor, extras: Mapping[str, Tensor]) -> Begin:
    spec = plan.request.mask
    if canvas.mask is None or spec is None:
        return Begin(latent=latent, extras=extras)
    small = (canvas.latent_mask or canvas.mask).convert("RGB").resize((latent.shape[3], latent.shape[2])).getchannel(0)
    repaint = torch.from_numpy(np.asarray(small, dtype=np.float32) / 255)[None, None].to(latent)
    repaint = repaint.round() if spec.binary else repaint
    if spec.fill == LATENT_NOISE:
        latent = latent * (1 - repaint) + _noise(model, plan, latent) * repaint
    elif spec.fill == LATENT_NOTHING:
        latent = latent * (1 - repaint)
    return Begin(latent=latent, mask=LatentMask(clean=latent, repaint=repaint, soft=spec.soft), extras=extras)


def _noise(model: Model, plan: Plan, latent: Tensor) -> Tensor:
    """Draw what stands under the mask from the seeds of the first pictures, whatever the batch."""
    seeds = [image.seed for image in plan.images[: latent.shape[0]]]
    shape = (latent.shape[1], latent.shape[2], latent.shape[3])
    drawn = ImageNoise(seeds, shape, model.device, source=plan.noise.source).initial()
    return drawn if len(drawn) == len(latent) else drawn[:1].expand_as(latent)


def _hidden(mask: Image.Image | None, picture: Tensor, plan: Plan) -> Tensor:
    """Return [1, 1, H, W], 1 where an inpainting model must not look."""
    if mask is None:
        return torch.ones_like(picture[:, :1])
    values = torch.from_numpy(np.asarray(mask.convert("L"), dtype=np.float32) / 255)[None, None]
    return values.round() if plan.request.mask is None or plan.request.mask.binary else values
