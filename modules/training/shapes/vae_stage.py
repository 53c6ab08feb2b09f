"""Train the autoencoder on windows of scenes, then give its latent the scale that samplers expect."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.families.sd1.defaults import PREVIEW
from modules.families.sd1.vae import VAE, Downsample, ResnetBlock, Upsample
from modules.training.shapes.config import SCALE
from modules.training.shapes.dataset import Dataset
from modules.training.shapes.drawing import draw
from modules.training.shapes.precision import mixed_precision

WINDOWS = ((0.0, 48, 128), (0.3, 64, 128), (0.6, 128, 128), (0.65, 128, 192), (0.7, 128, 128))
"""From this share of the stage on: side of the window, side of the picture it is cut from, pixels.

Edges are learned on small windows at a fraction of the cost; whole pictures only teach the rest.
"""
DECODER_ONLY = 0.75
"""Share of the stage from which the encoder rests and the decoder learns to bear wrong latents."""
LATENT_NOISE = 0.08
"""Wrongness of those latents, in standard deviations."""
WILD = 0.1
"""Share of pictures in colours of no palette, so that pictures from outside are coded too."""


class VaeStage:
    """Reconstruct windows of drawn scenes.

    Args:
        vae: freshly initialised by `prepare`.
        data: scenes, on the device of training.
        pixels: pixels per step over the whole batch.
        lr: highest learning rate.
    """

    name = "vae"

    def __init__(self, vae: VAE, data: Dataset, pixels: int, lr: float = 1e-3) -> None:
        self.module, self.data, self.pixels, self.lr = vae, data, pixels, lr

    def groups(self) -> list[dict[str, Any]]:
        """Return all parameters at one rate."""
        return [{"params": list(self.module.parameters()), "lr": self.lr, "weight_decay": 0.0}]

    def loss(self, step: int, progress: float, chance: torch.Generator) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Compare windows with their reconstruction: absolute and squared error, edges, and a weak prior."""
        side, whole = next((s, w) for start, s, w in reversed(WINDOWS) if progress >= start)
        target = self._windows(max(self.pixels // side**2, 1), side, whole, chance)
        frozen = progress >= DECODER_ONLY
        with torch.set_grad_enabled(not frozen):
            mean, logvar = self.module.encode(target)
        mean, logvar = mean.float(), logvar.float()
        noise = torch.randn(mean.shape, generator=chance, device=mean.device)
        spread = LATENT_NOISE * mean.detach().std((0, 2, 3), keepdim=True) if frozen else (0.5 * logvar).exp()
        error = self.module.decode(mean + spread * noise).float() - target
        mse = error.square().mean()
        edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
        prior = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        loss = error.abs().mean() + 3 * mse + 0.5 * edges + (0.0 if frozen else 2e-4) * prior
        return loss, {"psnr": 10 * torch.log10(4 / mse.detach().clamp(min=1e-9))}

    @torch.no_grad()
    def _windows(self, count: int, side: int, whole: int, chance: torch.Generator) -> Tensor:
        device = self.data.numbers.device
        rows = torch.randint(len(self.data), (count,), generator=chance, device=device)
        numbers = self.data.numbers[rows].clone()
        colours = torch.tensor([5, 6, 7, 15, 16, 17, 21, 22, 23, 24, 25, 26], device=device)
        wild = torch.rand(count, 1, generator=chance, device=device) < WILD
        other = torch.rand(count, len(colours), generator=chance, device=device)
        numbers[:, colours] = torch.where(wild, other, numbers[:, colours])
        corner = torch.randint(whole - side + 1, (2, count), generator=chance, device=device)
        with torch.autocast(device.type, enabled=False):
            return draw(numbers, whole, whole, (corner[0], corner[1], side)).contiguous(
                memory_format=torch.channels_last
            )


@torch.no_grad()
def prepare(vae: VAE) -> None:
    """Initialise so that colour passes from end to end linearly; without this the first minutes go into finding it."""
    for module in vae.modules():
        if isinstance(module, ResnetBlock):
            module.conv2.weight *= 0.1
            if hasattr(module, "nin_shortcut"):
                nn.init.orthogonal_(module.nin_shortcut.weight.flatten(1))
        elif isinstance(module, Upsample):
            nn.init.dirac_(module.conv.weight)
        elif isinstance(module, Downsample):
            nn.init.zeros_(module.conv.weight)
            for i in range(module.conv.out_channels):
                module.conv.weight[i, i, :2, :2] = 0.25
    for conv in (vae.encoder.conv_in, vae.decoder.conv_in):
        centre = torch.empty(conv.out_channels, conv.in_channels)
        nn.init.orthogonal_(centre)
        conv.weight.zero_()
        conv.weight[:, :, 1, 1] = centre
        bias_of(conv).normal_(std=0.5)
    for middle in (vae.encoder.mid, vae.decoder.mid):
        middle.attn_1.proj_out.weight *= 0.1
    channels = vae.post_quant_conv.in_channels
    for conv in (vae.quant_conv, vae.post_quant_conv):
        nn.init.zeros_(conv.weight)
        bias_of(conv).zero_()
        for i in range(channels):
            conv.weight[i, i] = 1.0
    bias_of(vae.quant_conv)[channels:] = -4.0


def bias_of(conv: nn.Conv2d) -> Tensor:
    """Return the bias of a convolution that has one."""
    assert conv.bias is not None
    return conv.bias


@torch.no_grad()
def encode_scenes(vae: VAE, numbers: Tensor, width: int, height: int, batch: int = 512) -> Tensor:
    """Draw and encode scenes: [N, SCENE_NUMBERS] -> means [N, 4, height / 8, width / 8], unscaled, on the same device."""
    device = numbers.device
    means = []
    for part in numbers.split(max(batch * 128 * 128 // (width * height), 1)):
        pictures = draw(part, width, height).contiguous(memory_format=torch.channels_last)
        with mixed_precision(device):
            mean, _ = vae.encode(pictures)
        means.append(mean.float().contiguous())
    return torch.cat(means)


@torch.no_grad()
def fold_whitening(vae: VAE, numbers: Tensor) -> None:
    """Change the two 1x1 convolutions so that scaled latents have mean 0, covariance 1 and previewable colours.

    What decodes from what stays the same: the change of one convolution is undone by the other. Of all rotations of
    a white latent, the one is taken for which the family's preview matrix shows about the right colours.
    The log variance becomes constant, the average over the given scenes: it cannot be rotated exactly.

    Args:
        vae: trained; changed in place.
        numbers: [N, SCENE_NUMBERS] scenes to measure on.
    """
    pictures = draw(numbers, 128, 128)
    mean, logvar = vae.encode(pictures)
    rows = mean.double().movedim(1, -1).flatten(0, -2)  # [N h w, 4]
    centre = rows.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov(rows.T))
    white = vectors.T / values.sqrt()[:, None]  # [4, 4]
    colours = F.avg_pool2d(pictures.double(), 8).movedim(1, -1).flatten(0, -2)
    across = (colours - colours.mean(0)).T @ ((rows - centre) @ white.T) / len(rows)  # [3, 4]
    u, _, vh = torch.linalg.svd(torch.tensor(PREVIEW, dtype=torch.float64, device=rows.device) @ across)
    matrix = u @ vh @ white
    variance = logvar.double().exp().mean((0, 2, 3))
    _fold(vae.quant_conv, vae.post_quant_conv, matrix, centre, variance)


def _fold(quant: nn.Conv2d, post: nn.Conv2d, matrix: Tensor, centre: Tensor, variance: Tensor) -> None:
    size = len(centre)
    quant_bias, post_bias = bias_of(quant), bias_of(post)
    weight, bias = quant.weight[:size, :, 0, 0].double(), quant_bias[:size].double()
    quant.weight[:size] = (matrix @ weight / SCALE)[:, :, None, None].to(quant.weight)
    quant_bias[:size] = (matrix @ (bias - centre) / SCALE).to(quant_bias)
    quant.weight[size:] = 0.0
    quant_bias[size:] = (matrix.square() @ variance / SCALE**2).log().to(quant_bias)
    weight = post.weight[:, :, 0, 0].double()
    post_bias[:] = (post_bias.double() + weight @ centre).to(post_bias)
    post.weight[:] = (weight @ torch.linalg.inv(matrix) * SCALE)[:, :, None, None].to(post.weight)


@torch.no_grad()
def psnr(vae: VAE, numbers: Tensor) -> float:
    """Return the reconstruction's signal-to-noise ratio on whole pictures, decibels."""
    pictures = draw(numbers, 128, 128)
    mean, _ = vae.encode(pictures)
    mse = (vae.decode(mean).clamp(-1, 1) - pictures).square().mean()
    return 10 * math.log10(4 / float(mse))
