"""What `p` encodes: prompts into `c` and `uc`, and what networks are told of pictures."""

from typing import Any

import torch
from torch import Tensor

from modules.compat.conditioning import image_of, shown_negatives, shown_positives
from modules.compat.host import host
from modules.compat.moment import moment_of


def set_up_conds(p: Any) -> None:
    """Do what `p.setup_conds` does: the prompts of the batch, encoded, become `p.c` and `p.uc`."""
    start = moment_of(p).start
    if start is not None:
        p.c, p.uc = shown_positives(start.positives), shown_negatives(start.negatives)
        return
    from modules.compat.prompts import SdConditioning, get_learned_conditioning, get_multicond_learned_conditioning

    texts = SdConditioning(p.prompts, width=p.width, height=p.height)
    negative = SdConditioning(p.negative_prompts, is_negative_prompt=True, width=p.width, height=p.height)
    p.uc = get_learned_conditioning(p.sd_model, negative, p.steps)
    p.c = get_multicond_learned_conditioning(p.sd_model, texts, p.steps)


def set_up_hires_conds(p: Any) -> None:
    """Do what `p.calculate_hr_conds` does: the prompts of the hires pass, encoded, become `p.hr_c` and `p.hr_uc`."""
    start = moment_of(p).start
    if start is not None and p.is_hr_pass:
        p.hr_c, p.hr_uc = shown_positives(start.positives), shown_negatives(start.negatives)
        return
    from modules.compat.prompts import SdConditioning, get_learned_conditioning, get_multicond_learned_conditioning

    steps = p.hr_second_pass_steps or p.steps
    size = {"width": p.hr_upscale_to_x, "height": p.hr_upscale_to_y}
    negative = SdConditioning(p.hr_negative_prompts or p.negative_prompts, is_negative_prompt=True, **size)
    p.hr_uc = get_learned_conditioning(p.sd_model, negative, p.steps, steps)
    texts = SdConditioning(p.hr_prompts or p.prompts, **size)
    p.hr_c = get_multicond_learned_conditioning(p.sd_model, texts, p.steps, steps)


def image_conditioning(p: Any, x: Tensor) -> Tensor:
    """Return what the network of the model is told of a picture; for most models that is nothing, [B, 5, 1, 1]."""
    start = moment_of(p).start
    return image_of(start.extras if start is not None else {}, x)


def seen_of_picture(p: Any, picture: Any, latent: Tensor, mask: Any = None) -> Tensor:
    """Return what the network of the model is told of a picture.

    Args:
        p: the job.
        picture: [B, 3, H, W] in -1..1.
        latent: [B, C, h, w], the same encoded.
        mask: what is repainted, a picture or [1, 1, H, W] in 0..1; everything when left out.
    """
    from modules.compat.sd_model import lent_model
    from modules.pipeline.begin import EDITING, INPAINTING

    model = lent_model()
    variant = model.components.match.variant
    if variant == EDITING:
        spec = model.components.latent
        return latent if "edm_range" in model.components.match.config else latent / spec.scale + spec.shift
    if variant != INPAINTING:
        return image_conditioning(p, latent)
    hidden = _hidden(mask, picture)
    weight = host().options.inpainting_mask_weight
    shown = p.sd_model.encode_first_stage(picture * (1 - hidden * weight))
    small = torch.nn.functional.interpolate(hidden, size=latent.shape[-2:]).expand(len(shown), -1, -1, -1)
    return torch.cat([small.to(shown), shown], dim=1)


def _hidden(mask: Any, picture: Tensor) -> Tensor:
    """Return [1, 1, H, W], 1 where the network must not look."""
    if mask is None:
        return torch.ones_like(picture[:1, :1])
    if isinstance(mask, Tensor):
        return mask.to(picture).round()
    import numpy as np

    values = torch.from_numpy(np.asarray(mask.convert("L"), dtype=np.float32) / 255)
    return values[None, None].to(picture).round()
