"""Make pictures for measuring, through the product's own loader, prompt language, encoder and sampler."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from modules.domain.plan import ScheduleOptions, TextOptions
from modules.families import identify
from modules.families.family import Build, Components, Files
from modules.families.sidecar import read_sidecar
from modules.library.header import read_header
from modules.nn.attention import sdpa
from modules.nn.ops import PLAIN_OPS
from modules.prompting.schedule import timeline
from modules.sampling.dpmpp import dpmpp_2m
from modules.sampling.prediction import predict
from modules.sampling.schedules import build_sigmas, schedule_named
from modules.sampling.types import Conditioning


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
    encoded: dict[str, Tensor] = {}
    pictures = []
    for start in range(0, len(prompts), look.batch):
        some = prompts[start : start + look.batch]
        lines = [timeline(prompt, look.steps) for prompt in some]
        for text in {negative, *(text for line in lines for _, text in line)} - encoded.keys():
            encoded[text] = model.family.condition(model, [text], TextOptions()).tokens
        seeds = range(first_seed + start, first_seed + start + len(some))
        pictures.append(_batch(model, lines, encoded, negative, look, seeds))
    return torch.cat(pictures)


def _batch(
    model: Components,
    lines: Sequence[tuple[tuple[int, str], ...]],
    encoded: Mapping[str, Tensor],
    negative: str,
    look: Look,
    seeds: Sequence[int],
) -> Tensor:
    device = model.build.device
    sigmas = build_sigmas(
        schedule_named(look.schedule), look.steps, model.prediction.table, ScheduleOptions(), sdxl=False
    )
    shape = (model.latent.channels, look.height // model.latent.downscale, look.width // model.latent.downscale)
    noise = torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
    x = noise.to(device) * sigmas[0]
    uncond = encoded[negative].expand(len(seeds), -1, -1)
    to_x0 = predict(model.family.network(model, False), model.prediction)
    call = 0

    def guided(x: Tensor, sigma: Tensor) -> Tensor:
        nonlocal call
        texts = [next((text for end, text in line if call <= end), line[0][1]) for line in lines]
        call += 1
        tokens = torch.cat([*(encoded[text] for text in texts), uncond])
        cond, un = to_x0(x.repeat(2, 1, 1, 1), sigma.repeat(2), Conditioning(tokens=tokens)).chunk(2)
        return un + look.cfg_scale * (cond - un)

    for step in dpmpp_2m(guided, x, sigmas.to(device)):
        x = step.x
    return torch.cat([model.family.decode(model, part, False) for part in x.split(16)]).float().cpu()
