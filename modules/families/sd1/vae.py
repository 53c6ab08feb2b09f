"""The autoencoder between pictures and latents, with the key names of the original checkpoints.

B batch, H W picture height and width, h w those of the latent, z latent channels.

Source: Rombach et al. 2022, arXiv:2112.10752, section 3.1; Esser et al. 2021, arXiv:2012.09841, table 7.
"""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from modules.nn.attention import sdpa
from modules.nn.attention.backend import Attend
from modules.nn.ops import PLAIN_OPS, Ops


@dataclass(frozen=True, slots=True, kw_only=True)
class VAEConfig:
    """Sizes of an autoencoder. The defaults are Stable Diffusion v1."""

    in_channels: int = 3
    out_channels: int = 3
    channels: int = 128
    channel_mult: tuple[int, ...] = (1, 2, 4, 4)
    """Width of each level as a multiple of `channels`; each level but the last halves the resolution."""
    num_res_blocks: int = 2
    """Residual blocks per level of the encoder; one more in the decoder."""
    z_channels: int = 4
    embed_dim: int = 4
    norm_groups: int = 32


class ResnetBlock(nn.Module):
    """Two convolutions around a shortcut."""

    def __init__(self, channels: int, out_channels: int, *, norm_groups: int, ops: Ops) -> None:
        super().__init__()
        self.norm1 = ops.GroupNorm(norm_groups, channels, eps=1e-6)
        self.conv1 = ops.Conv2d(channels, out_channels, 3, padding=1)
        self.norm2 = ops.GroupNorm(norm_groups, out_channels, eps=1e-6)
        self.conv2 = ops.Conv2d(out_channels, out_channels, 3, padding=1)
        if channels != out_channels:
            self.nin_shortcut = ops.Conv2d(channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C out, H, W]."""
        h = self.conv1(F.silu(self.norm1(x), inplace=True))
        h = self.conv2(F.silu(self.norm2(h), inplace=True))
        return h + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class AttnBlock(nn.Module):
    """Attention of one head over all pixels, around a shortcut."""

    def __init__(self, channels: int, *, norm_groups: int, ops: Ops, attend: Attend) -> None:
        super().__init__()
        self.attend = attend
        self.norm = ops.GroupNorm(norm_groups, channels, eps=1e-6)
        self.q = ops.Conv2d(channels, channels, 1)
        self.k = ops.Conv2d(channels, channels, 1)
        self.v = ops.Conv2d(channels, channels, 1)
        self.proj_out = ops.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        h = self.norm(x)
        q, k, v = (
            t.flatten(2).transpose(1, 2)[:, None].contiguous()  # [B, C, H, W] -> [B, 1, H W, C]
            for t in (self.q(h), self.k(h), self.v(h))
        )
        h = self.attend(q, k, v)[:, 0].transpose(1, 2).unflatten(2, x.shape[2:])
        return x + self.proj_out(h.contiguous())


class Downsample(nn.Module):
    """Halve height and width; the border is extended on the right and below only."""

    def __init__(self, channels: int, *, ops: Ops) -> None:
        super().__init__()
        self.conv = ops.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H / 2, W / 2]."""
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Double height and width by repetition, then smooth by a convolution."""

    def __init__(self, channels: int, *, ops: Ops) -> None:
        super().__init__()
        self.conv = ops.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, 2 H, 2 W]."""
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Middle(nn.Module):
    """The innermost layers of encoder and decoder."""

    def __init__(self, channels: int, *, norm_groups: int, ops: Ops, attend: Attend) -> None:
        super().__init__()
        self.block_1 = ResnetBlock(channels, channels, norm_groups=norm_groups, ops=ops)
        self.attn_1 = AttnBlock(channels, norm_groups=norm_groups, ops=ops, attend=attend)
        self.block_2 = ResnetBlock(channels, channels, norm_groups=norm_groups, ops=ops)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] -> [B, C, h, w]."""
        return self.block_2(self.attn_1(self.block_1(x)))


class Level(nn.Module):
    """Residual blocks of one resolution and the way to the next, called `downsample` or `upsample`."""

    def __init__(
        self, channels: int, out_channels: int, blocks: int, resample: dict[str, nn.Module], *, groups: int, ops: Ops
    ) -> None:
        super().__init__()
        self.block = nn.ModuleList(
            ResnetBlock(channels if i == 0 else out_channels, out_channels, norm_groups=groups, ops=ops)
            for i in range(blocks)
        )
        self.resample = tuple(resample)
        for name, module in resample.items():
            self.add_module(name, module)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C out, H out, W out]."""
        for block in self.block:
            x = block(x)
        for name in self.resample:
            x = self.get_submodule(name)(x)
        return x


class Encoder(nn.Module):
    """Picture to the moments of a latent, before `quant_conv`."""

    def __init__(self, config: VAEConfig, ops: Ops, attend: Attend) -> None:
        super().__init__()
        widths = [config.channels * mult for mult in config.channel_mult]
        groups, last = config.norm_groups, len(widths) - 1
        self.conv_in = ops.Conv2d(config.in_channels, config.channels, 3, padding=1)
        self.down = nn.ModuleList(
            Level(
                widths[i - 1] if i > 0 else config.channels,
                widths[i],
                config.num_res_blocks,
                {"downsample": Downsample(widths[i], ops=ops)} if i < last else {},
                groups=groups,
                ops=ops,
            )
            for i in range(len(widths))
        )
        self.mid = Middle(widths[-1], norm_groups=groups, ops=ops, attend=attend)
        self.norm_out = ops.GroupNorm(groups, widths[-1], eps=1e-6)
        self.conv_out = ops.Conv2d(widths[-1], 2 * config.z_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, 2 z, h, w]."""
        h = self.conv_in(x)
        for level in self.down:
            h = level(h)
        return self.conv_out(F.silu(self.norm_out(self.mid(h)), inplace=True))


class Decoder(nn.Module):
    """Latent, after `post_quant_conv`, to picture."""

    def __init__(self, config: VAEConfig, ops: Ops, attend: Attend) -> None:
        super().__init__()
        widths = [config.channels * mult for mult in config.channel_mult]
        groups, last = config.norm_groups, len(widths) - 1
        self.conv_in = ops.Conv2d(config.z_channels, widths[-1], 3, padding=1)
        self.mid = Middle(widths[-1], norm_groups=groups, ops=ops, attend=attend)
        self.up = nn.ModuleList(
            Level(
                widths[min(i + 1, last)],
                widths[i],
                config.num_res_blocks + 1,
                {"upsample": Upsample(widths[i], ops=ops)} if i > 0 else {},
                groups=groups,
                ops=ops,
            )
            for i in range(len(widths))
        )
        self.norm_out = ops.GroupNorm(groups, widths[0], eps=1e-6)
        self.conv_out = ops.Conv2d(widths[0], config.out_channels, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        """[B, z, h, w] -> [B, 3, H, W]."""
        h = self.mid(self.conv_in(z))
        for level in reversed(self.up):  # numbered from the finest resolution, run from the coarsest
            h = level(h)
        return self.conv_out(F.silu(self.norm_out(h), inplace=True))


class VAE(nn.Module):
    """Encode pictures to the moments of a latent and decode latents to pictures, both in about -1..1.

    Args:
        config: sizes.
        ops: layer classes.
        attend: attention of the middle blocks.
    """

    def __init__(self, config: VAEConfig, ops: Ops = PLAIN_OPS, attend: Attend = sdpa.attend) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config, ops, attend)
        self.decoder = Decoder(config, ops, attend)
        self.quant_conv = ops.Conv2d(2 * config.z_channels, 2 * config.embed_dim, 1)
        self.post_quant_conv = ops.Conv2d(config.embed_dim, config.z_channels, 1)

    def encode(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the latent: [B, 3, H, W] -> two of [B, embed_dim, h, w], unscaled."""
        mean, logvar = self.quant_conv(self.encoder(picture)).chunk(2, dim=1)
        return mean, logvar.clamp(-30.0, 20.0)

    def decode(self, z: Tensor) -> Tensor:
        """[B, embed_dim, h, w], unscaled -> [B, 3, H, W]."""
        return self.decoder(self.post_quant_conv(z))
