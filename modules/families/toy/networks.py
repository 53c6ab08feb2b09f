"""Networks of a few thousand parameters that behave like a diffusion model: noise in, a picture out, text heard."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.nn.attention import sdpa
from modules.nn.attention.backend import Attend
from modules.nn.blocks import CrossAttention, timestep_embedding
from modules.nn.ops import PLAIN_OPS, Ops

TEXT_WIDTH = 8
WIDTH = 16
LATENT_CHANNELS = 4
VOCABULARY = 131
POSITIONS = 77
DOWNSCALE = 8


class ToyText(nn.Module):
    """Embedded tokens that look at what stands before them, in two layers."""

    def __init__(self, ops: Ops = PLAIN_OPS) -> None:
        super().__init__()
        self.token_embedding = ops.Embedding(VOCABULARY, TEXT_WIDTH)
        self.position_embedding = ops.Embedding(POSITIONS, TEXT_WIDTH)
        self.layers = nn.ModuleList(ops.Linear(TEXT_WIDTH, TEXT_WIDTH) for _ in range(2))
        self.final_layer_norm = ops.LayerNorm(TEXT_WIDTH)

    def forward(self, tokens: Tensor, clip_skip: int = 1) -> Tensor:
        """[B, T] ids -> [B, T, 8]; `clip_skip` leaves out that many layers less one, but never all."""
        h = self.token_embedding(tokens) + self.position_embedding.weight[: tokens.shape[1]]
        past = torch.arange(1, tokens.shape[1] + 1, device=tokens.device)[:, None]
        for layer in self.layers[: max(1, len(self.layers) + 1 - clip_skip)]:
            h = h + torch.tanh(layer(h.cumsum(dim=1) / past))
        return self.final_layer_norm(h)


class ToyUNet(nn.Module):
    """Pass most of the input on as noise, and bend the rest by timestep and text."""

    def __init__(self, ops: Ops = PLAIN_OPS, attend: Attend = sdpa.attend) -> None:
        super().__init__()
        self.conv_in = ops.Conv2d(LATENT_CHANNELS, WIDTH, 3, padding=1)
        self.time_embed = ops.Linear(WIDTH, WIDTH)
        self.norm = ops.GroupNorm(4, WIDTH)
        self.attn = CrossAttention(WIDTH, TEXT_WIDTH, 2, ops=ops, attend=attend)
        self.conv_mid = ops.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.conv_out = ops.Conv2d(WIDTH, LATENT_CHANNELS, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor, context: Tensor) -> Tensor:
        """[B, 4, h, w], [B], [B, S, 8] -> [B, 4, h, w]."""
        emb = self.time_embed(timestep_embedding(t, WIDTH).to(x.dtype))
        h = self.norm(self.conv_in(x)) + emb[:, :, None, None]
        pixels = h.flatten(2).transpose(1, 2)  # [B, h w, 16]
        heard = self.attn(pixels, context).transpose(1, 2).unflatten(2, x.shape[2:])
        h = self.conv_mid(F.silu(h + heard))
        return 0.9 * x + 0.3 * self.conv_out(F.silu(h))


class ToyVAE(nn.Module):
    """Latent pixels grown to squares of eight, with smoothed borders."""

    def __init__(self, ops: Ops = PLAIN_OPS) -> None:
        super().__init__()
        self.conv_in = ops.Conv2d(LATENT_CHANNELS, WIDTH, 3, padding=1)
        self.conv_mid = ops.Conv2d(WIDTH, 3, 1)
        self.conv_out = ops.Conv2d(3, 3, 3, padding=1)
        self.encoder = ops.Conv2d(3, LATENT_CHANNELS, DOWNSCALE, stride=DOWNSCALE)

    def encode(self, picture: Tensor) -> Tensor:
        """[B, 3, 8 h, 8 w] -> [B, 4, h, w]."""
        return self.encoder(picture)

    def decode(self, z: Tensor) -> Tensor:
        """[B, 4, h, w] -> [B, 3, 8 h, 8 w], between -1 and 1."""
        h = self.conv_mid(F.silu(self.conv_in(z)))
        h = F.interpolate(h, scale_factor=float(DOWNSCALE), mode="nearest")
        return torch.tanh(h + self.conv_out(h))
