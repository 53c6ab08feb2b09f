"""Make pictures for measuring, through the product's own loader, prompt language, encoder and sampler."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from modules.domain.plan import GuidanceOptions, NoiseOptions, SamplerOptions, ScheduleOptions, TextOptions
from modules.families import identify
from modules.families.family import Build, Components, Files
from modules.families.sidecar import read_sidecar
from modules.library.header import read_header
from modules.nn.attention import sdpa
from modules.nn.ops import PLAIN_OPS
from modules.prompting.composition import split_and
from modules.prompting.schedule import timeline
from modules.sampling.catalogue import Controls, Sampler, sampler_named
from modules.sampling.guidance import Guided
from modules.sampling.noise import ImageNoise
from modules.sampling.schedules import schedule_named
from modules.sampling.start import course_from_noise, noise_source, noised_from_nothing
from modules.sampling.types import Timeline

SAMPLER = "DPM++ 2M"
"""The product's default."""


def load(path: Path, device: torch.device) -> Components:
    """Load a checkpoint and the yaml beside it in float32, as the product does on a CPU.

    Raises:
        ModelError: the file cannot be used.
    """
    config = path.with_suffix(".yaml")
    config = config if config.exists() else None
    family, match = identify(read_header(path), read_sidecar(config))
    wide = torch.float32
    build = Build(ops=PLAIN_OPS, attend=sdpa.attend, device=device, dtype=wide, text_dtype=wide, vae_dtype=wide)
    return family.load(Files(checkpoint=path, config=config), match, build)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How pictures are sampled; the defaults are the product's."""

    steps: int = 20
    cfg_scale: float = 7.0
    schedule: str = "Karras"
    width: int = 128
    height: int = 128
    batch: int = 50


@torch.inference_mode()
def render(model: Components, prompts: Sequence[str], look: Look, *, negative: str = "", first_seed: int = 0) -> Tensor:
    """Render one picture per prompt with DPM++ 2M.

    Args:
        model: a loaded checkpoint.
        prompts: with weights and schedules if wanted; at most 75 tokens each.
        look: steps, guidance and size.
        negative: prompt to steer away from.
        first_seed: seed of the first picture; the others follow it.

    Returns:
        [N, 3, H, W] in about -1..1, on the CPU.
    """
    sampler = sampler_named(SAMPLER)
    steps, texts = sampler.calls(look.steps), TextOptions()

    def line(prompt: str, weight: float = 1.0) -> Timeline:
        ends, rows = zip(*timeline(prompt, steps), strict=True)
        return Timeline(ends=ends, conditioning=model.family.condition(model, rows, texts), weight=weight)

    known = {prompt: [line(part.text, part.weight) for part in split_and(prompt)] for prompt in set(prompts)}
    against = line(negative)
    pictures = []
    for start in range(0, len(prompts), look.batch):
        some = prompts[start : start + look.batch]
        seeds = range(first_seed + start, first_seed + start + len(some))
        pictures.append(_batch(model, sampler, [known[prompt] for prompt in some], against, look, seeds))
    return torch.cat(pictures)


def _batch(
    model: Components,
    sampler: Sampler,
    positives: Sequence[Sequence[Timeline]],
    negative: Timeline,
    look: Look,
    seeds: Sequence[int],
) -> Tensor:
    latent, prediction = model.latent, sampler.adapt(model.prediction)
    guided = Guided(
        model.family.network(model, False),
        prediction,
        positives,
        [negative] * len(positives),
        GuidanceOptions(cfg_scale=look.cfg_scale),
        total_calls=sampler.calls(look.steps),
    )
    shape = (latent.channels, look.height // latent.downscale, look.width // latent.downscale)
    noise = ImageNoise(seeds, shape, model.build.device, source="CPU")
    course = course_from_noise(schedule_named(look.schedule), sampler, look.steps, prediction.table, ScheduleOptions())
    x = noised_from_nothing(sampler, noise.initial(), course, sgm_noise_multiplier=False)
    controls = Controls(noise=noise_source(sampler, noise, course, NoiseOptions()), options=SamplerOptions(eta=1.0))
    for step in sampler.run(guided, x, course.sigmas, controls):
        x = step.x
    return model.family.decode(model, x, False).float().cpu()
