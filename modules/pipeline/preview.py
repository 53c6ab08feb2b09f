"""A rough picture of an unfinished latent, cheap enough to make between steps."""

import io

import torch
from PIL import Image
from torch import Tensor

from modules.domain.events import Previewed
from modules.families.family import LatentSpec
from modules.hooks.context import JobContext
from modules.pipeline.pixels import to_pil, to_unit
from modules.residency.approximations import FULL, Approximations
from modules.residency.model import Model

APPROXIMATE = "Approx cheap"
"""The setting's name for the linear map."""
MAX_SIDE_PX = 512
"""Previews are enlarged to the picture's size, but not beyond this."""


def approximate(x0: Tensor, latent: LatentSpec) -> Image.Image:
    """Turn clean-latent estimates into one picture by the family's linear map.

    Args:
        x0: [B, C, h, w]; several pictures are laid side by side.
        latent: holds the map [C, 3] from latent to RGB in about -1..1.
    """
    matrix = torch.tensor(latent.preview, dtype=torch.float32)  # [C, 3]
    rows = torch.cat(list(x0.float().cpu()), dim=-1)  # [C, h, B*w]
    rgb = torch.einsum("chw,cr->hwr", rows, matrix)
    pixels = ((rgb + 1) * 127.5).clamp(0, 255).to(torch.uint8).numpy()
    image = Image.fromarray(pixels, "RGB")
    scale = min(latent.downscale, max(1, MAX_SIDE_PX // max(image.size)))
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.BILINEAR)


def encode(image: Image.Image, format_name: str) -> bytes:
    """Encode a preview quickly; quality matters little here."""
    buffer = io.BytesIO()
    if format_name == "png":
        image.save(buffer, "PNG", compress_level=1)
    else:
        image.save(buffer, "WEBP" if format_name == "webp" else "JPEG", quality=80)
    return buffer.getvalue()


class Previewer:
    """Makes the previews of one job and counts them."""

    def __init__(self, ctx: JobContext, approximations: Approximations) -> None:
        self._ctx, self._approximations, self._number = ctx, approximations, 0

    def show(self, model: Model, x0: Tensor) -> None:
        """Emit a preview of clean-latent estimates [B, C, h, w]."""
        settings = self._ctx.settings.previews
        if not settings.show_progress_grid:
            x0 = x0[:1]
        image = self._picture(model, x0, settings.show_progress_type)
        self._number += 1
        kind = settings.live_previews_image_format
        self._ctx.emit(Previewed(job_id=self._ctx.job_id, data=encode(image, kind), format=kind, number=self._number))

    def _picture(self, model: Model, x0: Tensor, method: str) -> Image.Image:
        """Decode by the method of the setting, or cheaply where its file is missing; pictures are side by side."""
        latent = model.components.latent
        if method == FULL:
            rows = [self._decoded(model, row[None]) for row in x0]
            return to_pil(to_unit(torch.cat(rows, dim=-1)))
        network = None if method == APPROXIMATE else self._approximations.previewer(method, latent)
        if network is None:
            return approximate(x0, latent)
        return to_pil(to_unit(torch.cat([*network(x0).float().cpu().nan_to_num(nan=-1.0)], dim=-1)))

    def _decoded(self, model: Model, x0: Tensor) -> Tensor:
        """Decode one estimate with the VAE; what is no number becomes black, since only the result may fail the job."""
        return model.decode(x0, tiling=False, fallback=None, note=self._ctx.note, check_nan=False)
