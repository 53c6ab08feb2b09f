"""Train the denoising network and the text encoder together on encoded scenes.

B batch, D width of the encoded text. Noise levels are those of Stable Diffusion v1; the network predicts the noise.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.families.sd1.network import UNet
from modules.families.sd1.text import TextEncoder
from modules.families.sd1.vae import VAE
from modules.nn.blocks import ResBlock, SpatialTransformer
from modules.sampling.prediction import scaled_linear_alphas
from modules.training.shapes.config import SCALE
from modules.training.shapes.dataset import Dataset, empty_ids, says_change
from modules.training.shapes.drawing import masks
from modules.training.shapes.text_stage import COMMON_MODE, EARLY_STATES, final_norm, first_end, learn_only, used_ids
from modules.training.shapes.vae_stage import encode_scenes

DROPPED = 0.1
"""Share of samples trained without their caption."""
PADDING_SWAPPED, PADDING_SWAPPED_WEIGHTED = 0.12, 0.4
"""Share of samples whose padding positions come from the empty prompt; share of those with weighted words. What a word
says must be found at the word, or else weighting the word would be outvoted by the padding."""
COVER = 0.3
"""Weight of telling the outline of the objects at the start of the stage; it goes down to nothing at the end."""
COVER_CELL = 4
"""Parts of a latent's pixel, along each side, whose cover is told."""
SWITCHED = 0.1
"""Share of samples, of those where it can be done, that start from the noisy latent of a scene with another colour,
shape or background than the caption says."""
SWITCH_FROM, SWITCH_TO = 250, 800
"""Timesteps between which a prompt may change and still win."""
OTHER_EVERY, LONG_EVERY = 10, 21
"""Every so many steps: another picture size, and a second chunk of text."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encoded:
    """Scaled latents of the first scenes of a dataset, all of one size."""

    latents: Tensor
    """[n, 4, h, w]"""
    before: Tensor
    """[m, 4, h, w], m <= n: the scenes with one word changed."""
    cover: Tensor
    """[n, COVER_CELL ** 2, h, w] uint8: how much of each part of a latent's pixel the objects cover."""


def encode_all(vae: VAE, data: Dataset, sizes: Sequence[tuple[int, int]], others: int) -> list[Encoded]:
    """Draw and encode the training set.

    Args:
        vae: with whitening folded in.
        data: scenes.
        sizes: (width, height) in pixels; the first is the main one and gets all scenes.
        others: scenes for each of the other sizes.
    """
    result = []
    for index, (width, height) in enumerate(sizes):
        count = len(data) if index == 0 else min(others, len(data))
        latents = encode_scenes(vae, data.numbers[:count], width, height) * SCALE
        before = encode_scenes(vae, data.before[: max(count // 4, 1)], width, height) * SCALE
        result.append(Encoded(latents=latents, before=before, cover=covers(data.numbers[:count], width, height)))
    return result


@torch.no_grad()
def covers(numbers: Tensor, width: int, height: int, batch: int = 512) -> Tensor:
    """Return what part of each cell the objects of scenes cover: [N, SCENE_NUMBERS] -> [N, 16, height / 8, width / 8]."""
    result = []
    for part in numbers.split(max(batch * 128 * 128 // (width * height), 1)):
        cover = masks(part, width, height).amax(1, keepdim=True)  # [b, 1, H, W]
        cells = F.pixel_unshuffle(F.avg_pool2d(cover, 8 // COVER_CELL), COVER_CELL)
        result.append((cells * 255).round().to(torch.uint8))
    return torch.cat(result)


class UnetStage:
    """Predict the noise in latents under captions.

    A second layer on the last features tells where the objects are. Shapes hardly show in the error of the noise while
    there is much of it, so they would be learned last; this way the caption's shape is needed from the first step. The
    layer is thrown away afterwards. The idea of a second, denser goal: Yu et al. 2024, arXiv:2410.06940.

    Args:
        unet: initialised by `prepare`.
        text: trained by the text stage.
        data: scenes and captions, on the device of training.
        encoded: latents by size, the main one first.
        batch: samples of the main size per step; fewer of larger ones.
        lr: highest learning rate of the UNet.
        call: the compiled features of the UNet for the main size and one chunk of text.
        text_learns: whether the text encoder goes on learning, at a lower rate. It costs as much as the UNet does on a
            processor, where its table of 49,408 rows has to be carried through every step.
    """

    name = "unet"

    def __init__(
        self, unet: UNet, text: TextEncoder, data: Dataset, encoded: Sequence[Encoded], batch: int, lr: float = 1e-3,
        call: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None, text_learns: bool = True,
    ) -> None:  # fmt: skip
        self.unet, self.text, self.data, self.encoded = unet, text, data, encoded
        self.batch, self.lr, self.call = batch, lr, unet.features if call is None else call
        device = data.ids.device
        self.tell = nn.Conv2d(unet.config.model_channels, COVER_CELL**2, 3, padding=1).to(device)
        self.module = nn.ModuleDict({"unet": unet, "text": text, "tell": self.tell})
        self.alphas = scaled_linear_alphas().to(device)
        self.empty = empty_ids().to(device)
        text.requires_grad_(text_learns)
        if text_learns:
            learn_only(text, used_ids(data.ids))

    def groups(self) -> list[dict[str, Any]]:
        """Return the networks that learn at their rates."""
        groups = [{"params": [*self.unet.parameters(), *self.tell.parameters()], "lr": self.lr, "weight_decay": 1e-3}]
        learning = [parameter for parameter in self.text.parameters() if parameter.requires_grad]
        return [*groups, {"params": learning, "lr": 0.3 * self.lr, "weight_decay": 0.0}] if learning else groups

    def loss(self, step: int, progress: float, chance: torch.Generator) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Compare predicted and true noise, weighted by noise level."""
        device, data = self.data.ids.device, self.data
        size = (
            1 + step // OTHER_EVERY % (len(self.encoded) - 1)
            if step % OTHER_EVERY == OTHER_EVERY - 1 and len(self.encoded) > 1
            else 0
        )
        encoded = self.encoded[size]
        area = encoded.latents[0].numel() / self.encoded[0].latents[0].numel()
        batch = max(int(self.batch / area), 1)
        rows = torch.randint(len(encoded.latents), (batch,), generator=chance, device=device)
        captions = torch.randint(data.ids.shape[1], (batch,), generator=chance, device=device)
        long = step % LONG_EVERY == LONG_EVERY - 1
        context, common, dropped = self._context(rows, captions, long, chance)
        x0, t = encoded.latents[rows], timesteps(batch, chance)
        alpha = self.alphas[t][:, None, None, None]
        noise = torch.randn(x0.shape, generator=chance, device=device)
        start, switched = self._start(encoded, rows, captions, (~dropped) & (t > SWITCH_FROM) & (t < SWITCH_TO), chance)
        x = alpha.sqrt() * start + (1 - alpha).sqrt() * noise
        target = noise + (alpha / (1 - alpha)).sqrt() * (start - x0)  # the noise that would have led from x0 to x
        features = (self.unet.features if size or long else self.call)(x, t, context)
        told, cover = self.tell(features).float(), encoded.cover[rows].float() / 255
        outline = F.binary_cross_entropy_with_logits(told, cover)
        error = (self.unet.out(features).float() - target).square().mean((1, 2, 3))
        weight = level_weight(alpha.flatten()) * torch.where(switched, 0.5, 1.0)
        high = ((t > 800) & ~switched).float()
        figures = {"high": (error.detach() * high).sum() / high.sum().clamp(min=1), "outline": outline.detach()}
        return (weight * error).mean() + COVER * (1 - progress) * outline + common, figures

    def _context(
        self, rows: Tensor, captions: Tensor, long: bool, chance: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Encode captions as the product does, with the disturbances named above.

        Returns:
            [B, 77 or 154, D]; a penalty on its mean; [B] bool, which captions were dropped.
        """
        device, batch = rows.device, len(rows)
        ids, weights = self.data.ids[rows, captions].long(), self.data.weights[rows, captions].float()
        draws = torch.rand(4, batch, generator=chance, device=device)
        dropped = (draws[0] < DROPPED)[:, None]
        ids, weights = torch.where(dropped, self.empty, ids), weights.masked_fill(dropped, 1.0)
        out = self.text.model(input_ids=torch.cat([ids, self.empty]), output_hidden_states=True)
        early = (draws[1] < EARLY_STATES)[:, None, None]
        early = torch.cat([early, early.new_zeros(1, 1, 1)])
        states = torch.where(early, final_norm(self.text)(out.hidden_states[-2]), out.last_hidden_state).float()
        z, empty = states[:-1], states[-1:]  # [B, 77, D], [1, 77, D]
        common = (z.mean((1, 2)) - COMMON_MODE).square().mean()
        padding = torch.arange(ids.shape[1], device=device) > first_end(ids)[:, None]
        often = torch.where((weights != 1).any(1), PADDING_SWAPPED_WEIGHTED, PADDING_SWAPPED)
        swapped = padding & (draws[2] < often)[:, None]
        z = emphasise(torch.where(swapped[..., None], empty, z), weights)
        if long:
            other, first = empty.expand_as(z), (draws[3] < 0.5)[:, None, None]
            z = torch.cat([torch.where(first, other, z), torch.where(first, z, other)], dim=1)
        return z, common, dropped[:, 0]

    def _start(
        self, encoded: Encoded, rows: Tensor, captions: Tensor, may: Tensor, chance: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return the clean latents that noise is put on, and for which samples they are not those of the caption."""
        can = may & (rows < len(encoded.before)) & says_change(self.data, rows, captions)
        # Only the first quarter of the scenes has a changed twin, so those are used four times as often.
        switched = can & (torch.rand(len(rows), generator=chance, device=rows.device) < min(4 * SWITCHED, 1.0))
        before = encoded.before[rows.clamp(max=len(encoded.before) - 1)]
        return torch.where(switched[:, None, None, None], before, encoded.latents[rows]), switched


def timesteps(batch: int, chance: torch.Generator) -> Tensor:
    """Draw timesteps [B] in 0..999: the caption decides at high ones, the shape at middle ones."""
    u, kind = torch.rand(2, batch, generator=chance, device=chance.device)
    t = torch.where(kind < 0.45, u * 1000, torch.where(kind < 0.8, 550 + u * 450, 250 + u * 450))
    return t.long().clamp(0, 999)


def level_weight(alpha: Tensor) -> Tensor:
    """Weigh the error of the noise by level: that of the velocity where noise prevails, bounded at both ends.

    Source: Salimans & Ho 2022, arXiv:2202.00512, section 4; Hang et al. 2023, arXiv:2303.09556 for the bound.
    """
    snr = alpha / (1 - alpha)
    return torch.where(snr > 5, 5 / snr, (1 / alpha).clamp(max=30.0))


def emphasise(z: Tensor, weights: Tensor) -> Tensor:
    """Weigh encoded text as prompts do: rows times weights, then each text back to its mean.

    Args:
        z: [B, L, D].
        weights: [B, L].
    """
    weighted = z * weights[..., None]
    return weighted * (z.mean((1, 2), keepdim=True) / weighted.mean((1, 2), keepdim=True))


@torch.no_grad()
def prepare(unet: UNet) -> None:
    """Start as the identity: zero the last layer of every residual part, so that depth does not shake the first steps."""
    last: list[nn.Module] = [unet.out[2]]
    last += [module.out_layers[3] for module in unet.modules() if isinstance(module, ResBlock)]
    last += [module.proj_out for module in unet.modules() if isinstance(module, SpatialTransformer)]
    for layer in last:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
