"""Teach the text encoder what captions say, before it is trained together with the denoising network."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.families.sd1.text import TextEncoder
from modules.training.shapes.config import BOS, EOS, VOCABULARY
from modules.training.shapes.dataset import Dataset
from modules.training.shapes.vocabulary import SLOTS, choices

COMMON_MODE = 0.25
"""Mean of the encoded text. Emphasis divides by it, so it must never come near zero."""
PADDING_READ = 2
"""Random places in the padding that the scene is read off, beside the end token."""
EARLY_STATES = 0.1
"""Share of captions read off the states before the last layer, as with clip skip 2."""


class TextStage:
    """Read every slot of the scene off the end token and off the padding behind it.

    Padding is most of the text. A fresh denoising network attends to all positions alike, so it hears of the scene at
    all only if most of them speak of it.

    Args:
        text: initialised by `prepare`.
        data: captions, on the device of training.
        batch: captions per step.
        lr: highest learning rate.
    """

    name = "text"

    def __init__(self, text: TextEncoder, data: Dataset, batch: int, lr: float = 1e-3) -> None:
        self.data, self.batch, self.lr = data, batch, lr
        self.text = text
        width = table(text).embedding_dim
        heads = nn.ModuleList(nn.Linear(width, len(choices(slot)) + 1) for slot in SLOTS)
        self.module = nn.ModuleDict({"text": text, "heads": heads}).to(data.ids.device)
        self.heads = heads
        learn_only(text, used_ids(data.ids))

    def groups(self) -> list[dict[str, Any]]:
        """Return all parameters; no decay, which would shrink the rows of unused tokens."""
        return [{"params": list(self.module.parameters()), "lr": self.lr, "weight_decay": 0.0}]

    def loss(self, step: int, progress: float, chance: torch.Generator) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Classify every slot."""
        device = self.data.ids.device
        rows = torch.randint(len(self.data), (self.batch,), generator=chance, device=device)
        captions = torch.randint(self.data.ids.shape[1], (self.batch,), generator=chance, device=device)
        ids, labels = self.data.ids[rows, captions].long(), self.data.labels[rows, captions]
        out = self.text.model(input_ids=ids, output_hidden_states=True)
        early = torch.rand(self.batch, 1, 1, generator=chance, device=device) < EARLY_STATES
        states = torch.where(early, final_norm(self.text)(out.hidden_states[-2]), out.last_hidden_state).float()
        end = first_end(ids)[:, None]
        far = torch.rand(self.batch, 1 + PADDING_READ, generator=chance, device=device)
        far[:, 0] = 0.0
        places = end + (far * (ids.shape[1] - end)).long()  # [B, P]: the end token, then places in the padding
        read = states.gather(1, places[..., None].expand(-1, -1, states.shape[2])).flatten(0, 1)  # [B P, D]
        labels = labels.repeat_interleave(places.shape[1], 0)
        logits = [head(read).float() for head in self.heads]
        loss = sum((F.cross_entropy(x, y) for x, y in zip(logits, labels.unbind(1), strict=True)), read.new_zeros(()))
        right = torch.stack([(x.argmax(1) == y).float().mean() for x, y in zip(logits, labels.unbind(1), strict=True)])
        common = (states.mean((1, 2)) - COMMON_MODE).square().mean()
        return loss + common, {"right": right.mean(), "worst": right.min()}


def table(text: TextEncoder) -> nn.Embedding:
    """Return the token table of a text encoder."""
    return text.model.embeddings.token_embedding


def final_norm(text: TextEncoder) -> nn.LayerNorm:
    """Return the last norm of a text encoder."""
    return text.model.final_layer_norm


@torch.no_grad()
def prepare(text: TextEncoder) -> None:
    """Give the encoded text a common mode from the start."""
    final_norm(text).bias.fill_(COMMON_MODE)


def first_end(ids: Tensor) -> Tensor:
    """Return the position of the first end token: [B, 77] -> [B]."""
    return (ids == EOS).int().argmax(dim=1)


def used_ids(ids: Tensor, least: int = 20) -> Tensor:
    """Return the tokens that captions are made of, leaving out the strange ones that came up by chance."""
    counts = torch.bincount(ids.flatten().long().cpu(), minlength=VOCABULARY)
    used = counts >= min(least, max(int(counts[BOS]) // 1000, 2))
    used[[BOS, EOS]] = True
    return used.to(ids.device)


def learn_only(text: TextEncoder, used: Tensor) -> None:
    """Keep the rows of unused tokens as they were initialised: the encoder learns to pass over any of them."""
    keep = used[:, None].float()
    table(text).weight.register_hook(lambda gradient: gradient * keep.to(gradient.dtype))
