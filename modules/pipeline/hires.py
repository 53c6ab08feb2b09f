"""Between the two passes of a hires run: the first latent enlarged, ready to be noised again."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from modules.domain.errors import UnknownName
from modules.domain.plan import HiresPlan, Plan
from modules.imaging.resize import plain
from modules.imaging.upscale import NO_UPSCALER, PLAIN, reach
from modules.pipeline.begin import INPAINTING, Begin, encoded, seen_of, to_tensor
from modules.pipeline.pixels import to_pil, to_unit
from modules.pipeline.precision import vae_fallback
from modules.pipeline.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentMode:
    """How a latent is enlarged without leaving its space."""

    mode: str
    antialias: bool = False


LATENT_MODES: Mapping[str, LatentMode] = MappingProxyType({
    "Latent": LatentMode(mode="bilinear"),
    "Latent (antialiased)": LatentMode(mode="bilinear", antialias=True),
    "Latent (bicubic)": LatentMode(mode="bicubic"),
    "Latent (bicubic antialiased)": LatentMode(mode="bicubic", antialias=True),
    "Latent (nearest)": LatentMode(mode="nearest"),
    "Latent (nearest-exact)": LatentMode(mode="nearest-exact"),
})  # fmt: skip
"""In the order of the list of choices."""


def is_latent(name: str) -> bool:
    """Tell whether an upscaler enlarges the latent, without decoding and encoding it."""
    return name in LATENT_MODES


def check_upscaler(name: str, upscalers: Collection[str]) -> None:
    """Refuse a name that is neither a latent mode nor an upscaler; None means Lanczos.

    Raises:
        UnknownName: lists what there is.
    """
    if name not in LATENT_MODES and name != NO_UPSCALER and name not in upscalers:
        raise UnknownName("Upscaler", name, [*LATENT_MODES, NO_UPSCALER, *upscalers], field="hr_upscaler")


def decoded(session: Session, plan: Plan, x: Tensor) -> tuple[Image.Image, ...]:
    """Decode what the first pass made with the model in use.

    Args:
        session: has the first pass's model in use.
        plan: of the job.
        x: [B, C, h, w].
    """
    with session.clock("decode"):
        return tuple(to_pil(to_unit(_decoded(session, plan, row))) for row in x)


def _decoded(session: Session, plan: Plan, x: Tensor) -> Tensor:
    """Decode one latent [C, h, w] to a picture [3, H, W] in about -1..1."""
    model, ctx = session.model, session.ctx
    fallback = vae_fallback(ctx.settings, model)
    return model.decode(x[None], tiling=plan.tiling, fallback=fallback, note=ctx.note)


def enlarged(session: Session, plan: Plan, hires: HiresPlan, x: Tensor, pictures: Sequence[Image.Image] = ()) -> Begin:
    """Enlarge the latent of the first pass and make the model of the second pass the one in use.

    Args:
        session: has the first pass's model in use.
        plan: of the job.
        hires: sizes, upscaler and model.
        x: [B, C, h, w].
        pictures: the same decoded, RGB; only needed when the upscaler is no latent mode.

    Returns:
        The start of the second pass, cut to the wanted size.
    """
    mode = LATENT_MODES.get(hires.upscaler)
    session.use(hires.model)
    large = None if mode else _resized(session, hires, pictures)
    latent = _latent(session, hires, mode, x) if mode else _encoded(session, plan, large or [])
    extras = _extras(session, plan, latent, large)
    cut = {name: _cut(value, hires, session) for name, value in extras.items()}
    return Begin(latent=_cut(latent, hires, session), extras=cut)


def _latent(session: Session, hires: HiresPlan, mode: LatentMode, x: Tensor) -> Tensor:
    down = session.model.components.latent.downscale
    size = (hires.upscaled.height // down, hires.upscaled.width // down)
    return F.interpolate(x, size=size, mode=mode.mode, antialias=mode.antialias)


def _resized(session: Session, hires: HiresPlan, pictures: Sequence[Image.Image]) -> list[Tensor]:
    """Enlarge pictures; each [1, 3, H, W] in -1..1."""
    size, upscalers = (hires.upscaled.width, hires.upscaled.height), session.upscalers
    if hires.upscaler in PLAIN or hires.upscaler not in upscalers:
        return [to_tensor(plain(picture, *size, hires.upscaler)) for picture in pictures]

    def made(picture: Image.Image) -> Tensor:
        factor = max(size[0] / picture.width, size[1] / picture.height)
        return to_tensor(reach(picture, size, factor, upscalers[hires.upscaler]).convert("RGB"))

    # Networks that are made under inference mode could not be used outside of it later.
    with session.clock("upscale"), torch.inference_mode(False), torch.no_grad():
        return [made(picture) for picture in pictures]


def _encoded(session: Session, plan: Plan, pictures: list[Tensor]) -> Tensor:
    with session.clock("encode"):
        return torch.cat([encoded(session, picture, plan) for picture in pictures])


def _extras(session: Session, plan: Plan, latent: Tensor, pictures: list[Tensor] | None) -> dict[str, Tensor]:
    """Return what a model sees besides the latent; with the whole picture hidden an inpainting model's own blank does."""
    components = session.model.components
    inpaints = components.match.variant == INPAINTING and plan.image.mask_weight < 1
    if not inpaints and components.eye is None:
        return {}
    if pictures is None:
        pictures = [_decoded(session, plan, row)[None].clamp(-1, 1) for row in latent]
    return seen_of(session, plan, pictures, None, (latent.shape[-2], latent.shape[-1]))


def _cut(value: Tensor, hires: HiresPlan, session: Session) -> Tensor:
    """Cut what sticks out beyond the wanted size from both sides; what has no sides stays."""
    if value.ndim < 4:
        return value
    down = session.model.components.latent.downscale
    rows = (hires.upscaled.height - hires.run.size.height) // down
    columns = (hires.upscaled.width - hires.run.size.width) // down
    height, width = value.shape[-2:]
    return value[..., rows // 2 : height - (rows + 1) // 2, columns // 2 : width - (columns + 1) // 2]
