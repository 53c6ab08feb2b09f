"""Soft inpainting: mixing two latents without losing contrast, and a mask from how much the latent changed.

Source: the always-on script of that name in A1111; the way of mixing keeps the power mean of the vectors' lengths.
"""

import numpy as np
from PIL import Image, ImageFilter
from torch import Tensor

from modules.domain.request import Size, SoftSpec
from modules.imaging.percentile import bell, percentile_mean
from modules.imaging.resize import FILL, resize

_BLUR_PX = 4
"""Hides the steps of the latent's pixels in the mask."""
_TINY = 1e-5


def mixed(clean: Tensor, x: Tensor, repaint: Tensor, level: Tensor, spec: SoftSpec) -> Tensor:
    """Mix the original into an estimate, the more the higher the noise level is.

    Args:
        clean: the original, [B, C, h, w].
        x: the estimate, [B, C, h, w].
        repaint: [1, 1, h, w], 0 keeps the original, 1 the estimate.
        level: sigma, [B, 1, 1, 1].
        spec: of the request.
    """
    share = repaint ** (level**spec.schedule_bias * spec.preservation_strength)
    mix = clean * (1 - share) + x * share
    # Two unlike vectors have a short mean. In float64, because lengths are raised to high powers.
    power = spec.contrast_boost
    wanted = (_length(clean) ** power * (1 - share) + _length(x) ** power * share) ** (1 / power)
    return mix * (wanted / (_length(mix) + _TINY)).to(mix)


def change_mask(clean: Tensor, x: Tensor, repaint: Tensor, spec: SoftSpec, size: Size) -> Image.Image:
    """Return the mask of what changed, mode L: white where the result is to be seen, black where the original is.

    Args:
        clean: the original latent of one picture, [C, h, w].
        x: what became of it, [C, h, w].
        repaint: [h, w], see `mixed`.
        spec: of the request.
        size: of the mask to return.
    """
    change = _spread((x - clean).norm(dim=0).float().cpu().numpy())
    kept = 1 - repaint.clamp(0, 1).double().cpu().numpy() ** (spec.preservation_strength / 2)
    allowed = 0.5 * (1 - spec.mask_influence) + kept * spec.mask_influence
    half = spec.difference_threshold * allowed / (1 + _TINY - allowed)
    opaque = 1 - _smoothed(1 / (1 + _ratio(change, half) ** spec.difference_contrast))
    small = Image.fromarray((255 * opaque).astype(np.uint8))
    return resize(small, size.width, size.height, FILL).convert("L").filter(ImageFilter.GaussianBlur(_BLUR_PX))


def _length(x: Tensor) -> Tensor:
    return x.norm(dim=1, keepdim=True).double()


def _spread(change: np.ndarray) -> np.ndarray:
    """Widen what changed much, then drop single places."""
    weights = bell(reach=2, width=1.5)
    return percentile_mean(percentile_mean(change, weights, 0.9, 1), weights, 0.25, 0.75)


def _ratio(change: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Divide; where nothing may change, any change is infinite and none is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(change / half, nan=0.0, posinf=np.inf)


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Ease 0..1 in and out with level first and second derivatives (Perlin 2002)."""
    return values**3 * (values * (values * 6 - 15) + 10)
