"""A small network that names what a picture shows, so that shapes can be counted without a person looking.

It is trained on drawn scenes, half of them passed through the autoencoder, and never sees a generated picture.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.training.shapes.drawing import draw
from modules.training.shapes.vocabulary import choices

SLOTS = ("shape0", "colour0", "style0", "position0", "pattern", "ground")
"""What it names, of a lone object and its background."""

RoundTrip = Callable[[Tensor], Tensor]
"""Pictures [B, 3, H, W] -> what the autoencoder makes of them."""


class Judge(nn.Module):
    """Name the content of 128x128 pictures."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 32, 64, 96, 128, 160)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(8, after), nn.SiLU()]
            layers += [nn.Conv2d(after, after, 3, padding=1), nn.GroupNorm(8, after), nn.SiLU()]
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(160 * 16, 256), nn.SiLU())
        self.heads = nn.ModuleList(nn.Linear(256, len(choices(slot))) for slot in SLOTS)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """[B, 3, 128, 128] -> logits [B, choices] for each of `SLOTS`."""
        features = self.body(pictures)
        return [head(features) for head in self.heads]


class JudgeStage:
    """Learn to name lone objects.

    Args:
        judge: the network.
        numbers: [N, SCENE_NUMBERS] scenes with one object.
        labels: [N, slots] places in `choices`.
        round_trip: the autoencoder.
        batch: pictures per step.
    """

    name = "judge"

    def __init__(self, judge: Judge, numbers: Tensor, labels: Tensor, round_trip: RoundTrip, batch: int) -> None:
        self.module, self.numbers, self.labels = judge, numbers, labels
        self.round_trip, self.batch = round_trip, batch

    def groups(self) -> list[dict[str, Any]]:
        """Return all parameters at one rate."""
        return [{"params": list(self.module.parameters()), "lr": 1e-3, "weight_decay": 1e-2}]

    def loss(self, step: int, progress: float, chance: torch.Generator) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Classify every slot on disturbed pictures."""
        rows = torch.randint(len(self.numbers), (self.batch,), generator=chance, device=self.numbers.device)
        with torch.no_grad():
            pictures = draw(self.numbers[rows], 128, 128)
            half = self.batch // 2
            pictures = torch.cat([pictures[:half], self.round_trip(pictures[half:])]).clamp(-1, 1)
            strength = 0.15 * torch.rand(self.batch, 1, 1, 1, generator=chance, device=pictures.device)
            pictures = pictures + strength * torch.randn(pictures.shape, generator=chance, device=pictures.device)
        logits = [x.float() for x in self.module(pictures)]
        labels = self.labels[rows].unbind(1)
        loss = torch.stack([F.cross_entropy(x, y) for x, y in zip(logits, labels, strict=True)]).sum()
        return loss, {"shape": (logits[0].argmax(1) == labels[0]).float().mean()}


@torch.no_grad()
def read(judge: Judge, pictures: Tensor) -> dict[str, list[str]]:
    """Name what pictures show: [N, 3, 128, 128] in -1..1 -> slot -> N values."""
    answers = [[] for _ in SLOTS]
    for part in pictures.split(64):
        for answer, logits in zip(answers, judge(part.clamp(-1, 1)), strict=True):
            answer += logits.argmax(1).tolist()
    return {slot: [choices(slot)[i] for i in answer] for slot, answer in zip(SLOTS, answers, strict=True)}
