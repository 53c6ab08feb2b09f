"""Depth as a further input of a denoising network: estimated by the MiDaS network in the checkpoint, or given."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from modules.families.eye import Eye
from modules.families.latent import place
from modules.nn.midas import MULTIPLE, Midas, MidasConfig

PREFIX = "depth_model.model."
SIDE = 384
"""Of the pictures that the estimator was trained on, pixels."""

_UNUSED = re.compile(r"^(pretrained\.model\.(norm|head)|scratch\.refinenet4\.resConfUnit1)\.")
"""Layers that files have and no picture passes through."""


def depth_names(names: Mapping[str, Any], prefix: str) -> dict[str, str]:
    """Return name in `Midas` -> name in the file, for the estimator's tensors; none where there is no estimator."""
    own = {name.removeprefix(prefix): name for name in names if name.startswith(prefix)}
    return {name: stored for name, stored in own.items() if not _UNUSED.search(name)}


class DepthEye(Eye):
    """Estimates the depth of a picture.

    Args:
        config: sizes of the estimator.
    """

    def __init__(self, config: MidasConfig) -> None:
        super().__init__()
        self.model = Midas(config)

    def look(self, picture: Tensor, size: tuple[int, int]) -> dict[str, Tensor]:
        """Return the depth as the network's further channel, `concat` [B, 1, h, w]."""
        device, dtype = place(self)
        return {"concat": depth_input(self.model(fitted(picture.to(device, dtype))), size)}


def fitted(picture: Tensor) -> Tensor:
    """Resize [B, 3, H, W] until one side is that of training, whichever changes less, and both are multiples of 32."""
    sides = picture.shape[-2:]
    scale = min((SIDE / side for side in sides), key=lambda scale: abs(1 - scale))
    height, width = (max(1, round(side * scale / MULTIPLE)) * MULTIPLE for side in sides)
    return F.interpolate(picture, size=(height, width), mode="bicubic")


def depth_input(depth: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring depth [B, 1, H, W] on any scale, near is larger, to the latent's size and to -1..1; [B, 1, h, w], float32.

    A depth that is the same everywhere becomes 0.
    """
    small = F.interpolate(depth.float(), size=size, mode="bicubic")
    low, high = small.amin((1, 2, 3), keepdim=True), small.amax((1, 2, 3), keepdim=True)
    span = high - low
    return torch.where(span > 0, 2 * (small - low) / span.where(span > 0, 1) - 1, 0)
