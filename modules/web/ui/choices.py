"""What drop-downs and radio buttons offer, and what a name from a text stands for among it."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from modules.web.adapters import latent_modes, upscaler_names
from modules.web.services import CheckpointInfo, Services
from modules.web.ui.values import offered_samplers

SAME_CHECKPOINT, SAME_SAMPLER, SAME_SCHEDULE = "Use same checkpoint", "Use same sampler", "Use same scheduler"
NO_CHECKPOINT = "None"

WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "resize_mode": ("Just resize", "Crop and resize", "Resize and fill", "Just resize (latent upscale)"),
    "inpainting_fill": ("fill", "original", "latent noise", "latent nothing"),
    "inpainting_mask_invert": ("Inpaint masked", "Inpaint not masked"),
    "inpaint_full_res": ("Whole picture", "Only masked"),
    "upscale_mode": ("Scale by", "Scale to"),
})  # fmt: skip
"""Parameters that are a number or a switch and are offered as words, in the order of their values."""


def lists_of(services: Services) -> Mapping[str, Sequence[str]]:
    """Return what drop-downs offer, by the name that declarations give a list or by that of the parameter."""
    samplers = offered_samplers(services.settings.snapshot(), [one.name for one in services.samplers()])
    schedules = [one.label for one in services.schedulers()]
    return {
        "samplers": samplers,
        "schedulers": schedules,
        "styles": [style.name for style in services.styles()],
        "upscalers": upscaler_names(services.upscalers()),
        "hires_upscalers": [*latent_modes(), *upscaler_names(services.upscalers())],
        "hr_sampler_name": [SAME_SAMPLER, *samplers],
        "hr_scheduler": [SAME_SCHEDULE, *schedules],
        **checkpoint_lists(services),
    }


def checkpoint_lists(services: Services) -> Mapping[str, list[str]]:
    """Return what the selectors of further checkpoints offer now."""
    titles = [one.title for one in services.checkpoints()]
    return {"hr_checkpoint_name": [SAME_CHECKPOINT, *titles], "refiner_checkpoint": [NO_CHECKPOINT, *titles]}


def checkpoint_named(name: str, checkpoints: Sequence[CheckpointInfo]) -> CheckpointInfo | None:
    """Find a checkpoint by title, name, hash or file, or by `name [hash]` as parameters texts write it."""
    base, _, rest = name.partition(" [")
    short = rest.removesuffix("]")

    def fits(one: CheckpointInfo) -> bool:
        return name in (one.title, one.model_name, one.hash, one.sha256, one.filename)

    exact = next((one for one in checkpoints if fits(one)), None)
    return exact or next((one for one in checkpoints if rest and (one.hash == short or one.model_name == base)), None)
