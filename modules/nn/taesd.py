"""The tiny autoencoder (TAESD): quick, rough copies of a VAE's two halves, with the key names of its files.

B batch, C latent channels, h w latent height and width, H W = 8 h, 8 w. Latents are on the sampler's scale.

Source: the layout of the published files; the layers are those of madebyollin/taesd.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from modules.nn.ops import PLAIN_OPS, Ops

WIDTH = 64
REACH = 3.0
"""Latents are squeezed softly into +- this."""


class Squeeze(nn.Module):
    """Keep a latent within its usual range."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] -> [B, C, h, w]."""
        return (x / REACH).tanh() * REACH


class TinyBlock(nn.Module):
    """Three convolutions around a shortcut; without normalisation."""

    def __init__(self, ops: Ops) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            _conv(WIDTH, WIDTH, ops), nn.ReLU(), _conv(WIDTH, WIDTH, ops), nn.ReLU(), _conv(WIDTH, WIDTH, ops)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, 64, H, W] -> [B, 64, H, W]."""
        return F.relu(self.conv(x) + x)


def tiny_encoder(channels: int = 4, ops: Ops = PLAIN_OPS) -> nn.Sequential:
    """Return the network from pictures [B, 3, H, W] in 0..1 to latents [B, channels, h, w]."""
    layers: list[nn.Module] = [_conv(3, WIDTH, ops), TinyBlock(ops)]
    for _ in range(3):
        layers += [ops.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1, bias=False), *(TinyBlock(ops) for _ in range(3))]
    return nn.Sequential(*layers, _conv(WIDTH, channels, ops))


def tiny_decoder(channels: int = 4, ops: Ops = PLAIN_OPS) -> nn.Sequential:
    """Return the network from latents [B, channels, h, w] to pictures [B, 3, H, W] in about 0..1."""
    layers: list[nn.Module] = [Squeeze(), _conv(channels, WIDTH, ops), nn.ReLU()]
    for _ in range(3):
        layers += [TinyBlock(ops) for _ in range(3)]
        layers += [nn.Upsample(scale_factor=2), ops.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False)]
    return nn.Sequential(*layers, TinyBlock(ops), _conv(WIDTH, 3, ops))


def _conv(channels: int, out_channels: int, ops: Ops) -> nn.Conv2d:
    return ops.Conv2d(channels, out_channels, 3, padding=1)
