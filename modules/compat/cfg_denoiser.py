"""`CFGDenoiser`: guidance as an object. What it computes is the pipeline's; extensions override its parts."""

from typing import Any

from modules.compat.replaced import is_own


class CFGDenoiser:
    """Guidance over noise levels.

    `forward` and `combine_denoised` may be replaced, on an object, on the class, or by a class of one's own; the walk
    asks them then, and what they leave to the originals is done as ever.

    Args:
        sampler: whose model this is.
    """

    mask_before_denoising = False
    padded_cond_uncond = False
    padded_cond_uncond_v0 = False
    classic_ddim_eps_estimation = False

    def __init__(self, sampler: Any) -> None:
        self.sampler, self.p = sampler, getattr(sampler, "p", None)
        self.step = 0
        self.total_steps: int | None = None
        self.steps: int | None = None
        self.mask: Any = None
        self.nmask: Any = None
        self.init_latent: Any = None
        self.image_cfg_scale: float | None = None
        self.cond_scale_miltiplier = 1.0
        self.need_last_noise_uncond = False
        self.last_noise_uncond: Any = None
        self.native: Any = None
        """The guided denoiser of the walk, (x, sigma) -> x0."""
        self.start: Any = None
        """What the walk started from."""
        self.given: dict[str, Any] = {}
        """What functions are handed with each question."""
        self.inside = False
        """True while an answer is being computed."""
        self.scale_now: float | None = None
        """The scale that a question asked for."""
        self.uncond_now: Any = None
        """The latest estimate without the prompt, [B, C, h, w]."""
        self.opened_model: Any = None
        self._walk: Any = None

    @property
    def inner_model(self) -> Any:
        """The model, asked by noise level."""
        if self.opened_model is None:
            from modules.compat.k_denoisers import level_model
            from modules.compat.sd_model import sd_model_now

            self.opened_model = level_model(sd_model_now())
        return self.opened_model

    @property
    def guides(self) -> bool:
        """Whether `forward` was replaced."""
        return not is_own(self, "forward", ORIGINALS["forward"])

    @property
    def combines(self) -> bool:
        """Whether `combine_denoised` was replaced."""
        return not is_own(self, "combine_denoised", ORIGINALS["combine_denoised"])

    def open(self, p: Any, start: Any, cond: Any, uncond: Any, image: Any) -> None:
        """Guide a native walk from now on."""
        self.p, self.start, self.step, self._walk, self.native = p, start, 0, None, None
        self.steps = self.total_steps = start.steps
        self.image_cfg_scale = getattr(p, "image_cfg_scale", None)
        self.mask, self.nmask = (_of_all(getattr(p, name, None)) for name in ("mask", "nmask"))
        self.init_latent = getattr(p, "init_latent", None)
        self.given = {"cond": cond, "uncond": uncond, "image_cond": image, "cond_scale": start.cfg_scale}

    def close(self) -> None:
        """Guide nothing any more: whoever keeps this object cannot ask a walk that ended."""
        self._walk = self.native = None

    def begin(self, walk: Any, p: Any) -> None:
        """Guide the walk of a function from now on."""
        self._walk, self.p, self.step = walk, p, 0
        self.total_steps = len(walk.sigmas) - 1

    def told(self, x: Any) -> dict[str, Any]:
        """Return what functions hand back with each question."""
        p, given = self.p, self.given
        image = given.get("image_cond")
        return {
            "cond": given.get("cond", getattr(p, "c", None)), "uncond": given.get("uncond", getattr(p, "uc", None)),
            "image_cond": x.new_zeros(x.shape[0], 5, 1, 1) if image is None else image,
            "cond_scale": given.get("cond_scale", getattr(p, "cfg_scale", 1.0)),
            "s_min_uncond": getattr(p, "s_min_uncond", 0.0) or 0.0,
        }  # fmt: skip

    def __call__(self, *given: Any, **named: Any) -> Any:
        """Estimate the clean latent; see `forward`."""
        before, self.inside = self.inside, True
        try:
            return self.forward(*given, **named)
        finally:
            self.inside = before

    def forward(self, x: Any, sigma: Any, uncond: Any = None, cond: Any = None, cond_scale: Any = None, s_min_uncond: Any = None, image_cond: Any = None) -> Any:  # fmt: skip
        """Estimate the clean latent [B, C, h, w], guided by the prompts of the walk.

        Args:
            x: [B, C, h, w]
            sigma: [B]
            uncond: as it was handed over.
            cond: as it was handed over.
            cond_scale: another guidance scale, for this question alone.
            s_min_uncond: as it was handed over.
            image_cond: as it was handed over.

        Raises:
            RuntimeError: outside of a walk.
        """
        ask = self._walk.denoise if self._walk is not None else self.native
        if ask is None:
            raise RuntimeError("guidance is there while a sampler walks")
        before, self.scale_now = self.scale_now, cond_scale
        try:
            found = ask(x, sigma)
        finally:
            self.scale_now = before
        self.step += 1
        if self.need_last_noise_uncond and self.uncond_now is not None:
            self.last_noise_uncond = (x - self.uncond_now) / sigma.reshape(-1, 1, 1, 1)
        return found

    def combine_denoised(self, x_out: Any, conds_list: Any, uncond: Any, cond_scale: float) -> Any:
        """Push each picture's negative estimate along its weighted prompts.

        Args:
            x_out: [R, C, h, w], estimates of all prompts, then of the negative prompts.
            conds_list: for each picture the rows of its prompts with their weights.
            uncond: encoded negative prompts, [B, ...].
            cond_scale: of guidance.
        """
        rows = (uncond["crossattn"] if isinstance(uncond, dict) else uncond).shape[0]
        denoised = x_out[-rows:].clone()
        for place, parts in enumerate(conds_list):
            for row, weight in parts:
                denoised[place] += (x_out[row] - x_out[-rows + place]) * (weight * cond_scale)
        return denoised

    def combine(self, estimates: Any, conds_list: Any, uncond: Any, count: int, *, alone: bool) -> Any:
        """Combine the estimates of a call if anything asks for another way than the program's own; else None.

        Args:
            estimates: [R, C, h, w] of all rows.
            conds_list: for each picture the rows of its prompts with their weights.
            uncond: encoded negative prompts.
            count: of the pictures.
            alone: the negative prompts were left out.
        """
        if not alone:
            self.uncond_now = estimates[-count:]
        planned = self.start.cfg_scale if self.start is not None else None
        scale = planned if self.scale_now is None else self.scale_now
        if scale is None or not (self.combines or scale != planned or self.cond_scale_miltiplier != 1):
            return None
        if alone:
            import torch

            # As in A1111, each picture's first prompt stands in for the side that was left out.
            first = torch.stack([estimates[parts[0][0]] for parts in conds_list])
            return self.combine_denoised(torch.cat([estimates, first]), conds_list, uncond, 1.0)
        return self.combine_denoised(estimates, conds_list, uncond, scale * self.cond_scale_miltiplier)


class CFGDenoiserKDiffusion(CFGDenoiser):
    """Guidance over noise levels."""


ORIGINALS = {"forward": CFGDenoiser.forward, "combine_denoised": CFGDenoiser.combine_denoised}
"""What the walk does by itself."""


def _of_all(mask: Any) -> Any:
    """Return a mask as A1111 has it, for all pictures at once: [C, h, w]."""
    return mask[0] if mask is not None and mask.ndim == 4 else mask
