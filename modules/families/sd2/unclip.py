"""What unCLIP models are told of a picture: its CLIP embedding, hidden by some noise, and how much noise that was.

B pictures, D width of the embedding.

Source: Ramesh et al. 2022, arXiv:2204.06125, section 2.1; noise levels: Nichol and Dhariwal 2021, arXiv:2102.09672,
equation 17; the level is told as in Ho et al. 2021, arXiv:2106.15282 (conditioning augmentation).
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from modules.domain.errors import BrokenFile, InvalidRequest
from modules.families.eye import Eye
from modules.families.latent import place
from modules.families.openclip_vision import VisionConfig, VisionTransformer, prepared
from modules.library.tensors import open_tensors
from modules.nn.blocks import timestep_embedding

PREFIX = "embedder.model."
VISUAL = "visual."
STATISTICS = ("noise_augmentor.data_mean", "noise_augmentor.data_std")
STATISTICS_FILE = Path("karlo", "ViT-L-14_stats.th")
"""Below the folder of models, where A1111 has it."""
SMALL_EMBEDDING = 768
"""Width of the embeddings of OpenAI's ViT-L, whose models know the statistics of embeddings."""
EMBEDDING = "embedding"
LEVELS = 1000


def visual_names(names: Mapping[str, Any]) -> dict[str, str]:
    """Return name in the vision transformer -> name in the file; the text tower beside it has no part here."""
    start = PREFIX + VISUAL
    return {name.removeprefix(start): name for name in names if name.startswith(start)}


def is_openai(names: Mapping[str, Any], projection: int) -> bool:
    """Tell whether the embedder is one of OpenAI's: of the width of ViT-L, or stored with a text tower."""
    return projection == SMALL_EMBEDDING or any(name.startswith(f"{PREFIX}transformer.") for name in names)


class ImageEye(Eye):
    """Embeds a picture in the space that CLIP shares between pictures and texts.

    Args:
        config: sizes of the embedder.
    """

    prompts_only = frozenset({EMBEDDING})

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.model = nn.ModuleDict({"visual": VisionTransformer(config)})
        self.config = config
        self.statistics: tuple[Tensor, Tensor] | None = None
        """Mean and spread of the embeddings of training, each [D]; None where nothing tells them."""

    def look(self, picture: Tensor, size: tuple[int, int]) -> dict[str, Tensor]:
        """Return the embedding [B, D]."""
        device, dtype = place(self)
        square = prepared(picture.float().to(device), self.config.side)
        return {EMBEDDING: self.model["visual"](square.to(dtype)).float()}

    def told(self, seen: Mapping[str, Tensor], level: int, noise: Callable[[int], Tensor]) -> Mapping[str, Tensor]:
        """Return the embedding with noise of a level and that level, [B, 2 D].

        Even level 0 has a little noise.

        Raises:
            InvalidRequest: a level above 0, and nothing tells the statistics that this model was trained with.
        """
        clean = seen.get(EMBEDDING)
        if clean is None:
            return seen
        if self.statistics is None and level and self.config.quick:
            raise InvalidRequest(
                f"noise on the picture needs the statistics of this unCLIP model: put {STATISTICS_FILE.name} into "
                f"models/{STATISTICS_FILE.parent}, or set the level to 0",
                field="noise",
            )
        mean, std = (value.to(clean) for value in self.statistics or (clean.new_zeros(1), clean.new_ones(1)))
        hidden = noised((clean - mean) / std, noise(clean.shape[1]).to(clean), level) * std + mean
        levels = torch.full((len(clean),), level, device=clean.device)
        return {**seen, EMBEDDING: torch.cat([hidden, timestep_embedding(levels, clean.shape[1])], dim=1)}


def noised(clean: Tensor, noise: Tensor, level: int) -> Tensor:
    """Mix an embedding of about unit spread [B, D] with unit noise; nearly nothing of it is left at level 999."""
    kept = kept_share(level)
    return clean * math.sqrt(kept) + noise * math.sqrt(1 - kept)


def kept_share(level: int) -> float:
    """Return the share of the variance that is not noise yet, from nearly 1 at level 0 to nearly 0."""

    def curve(share: float) -> float:
        return math.cos((share + 0.008) / 1.008 * math.pi / 2) ** 2

    steps = (max(curve((i + 1) / LEVELS) / curve(i / LEVELS), 0.001) for i in range(level + 1))
    return math.prod(steps)


def read_statistics(models: Path | None, width: int) -> tuple[Tensor, Tensor] | None:
    """Read mean and spread of the embeddings of ViT-L, each [D], where their file is there and fits the width.

    Raises:
        BrokenFile: the file holds something else.
    """
    path = models / STATISTICS_FILE if models and width == SMALL_EMBEDDING else None
    if path is None or not path.is_file():
        return None
    with open_tensors(path) as file:
        found = [file.get(name).float().flatten() for name in file.names]
    if [len(value) for value in found] != [width, width]:
        raise BrokenFile(path, f"does not hold the mean and the spread of embeddings {width} wide")
    return found[0], found[1]
