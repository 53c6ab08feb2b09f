"""`ldm.modules.diffusionmodules.model`: the layers of the autoencoder under CompVis's constructors."""

from collections.abc import Sequence
from typing import Any

from modules.compat.networks_view import View
from modules.domain.errors import UnsupportedFeature
from modules.families.sd1 import vae
from modules.families.sd1.vae import VAEConfig
from modules.nn.attention import sdpa
from modules.nn.ops import PLAIN_OPS

GROUPS = 32


class AttnBlock(vae.AttnBlock, metaclass=View, of=vae.AttnBlock):
    """Attention of one head over all pixels."""

    def __init__(self, in_channels: int) -> None:
        super().__init__(in_channels, norm_groups=GROUPS, ops=PLAIN_OPS, attend=sdpa.attend)


class MemoryEfficientAttnBlock(AttnBlock):
    """The same through xformers; no layer is one, since attention is chosen in another way here."""


class ResnetBlock(vae.ResnetBlock, metaclass=View, of=vae.ResnetBlock):
    """Two convolutions around a shortcut."""

    def __init__(self, *, in_channels: int, out_channels: int | None = None, **_more: Any) -> None:
        super().__init__(in_channels, out_channels or in_channels, norm_groups=GROUPS, ops=PLAIN_OPS)


class Downsample(vae.Downsample, metaclass=View, of=vae.Downsample):
    """Halve height and width."""

    def __init__(self, in_channels: int, with_conv: bool = True) -> None:
        super().__init__(in_channels, ops=PLAIN_OPS)


class Upsample(vae.Upsample, metaclass=View, of=vae.Upsample):
    """Double height and width."""

    def __init__(self, in_channels: int, with_conv: bool = True) -> None:
        super().__init__(in_channels, ops=PLAIN_OPS)


class Encoder(vae.Encoder, metaclass=View, of=vae.Encoder):
    """Picture to the moments of a latent."""

    def __init__(self, **given: Any) -> None:
        super().__init__(_config(**given), PLAIN_OPS, sdpa.attend)


class Decoder(vae.Decoder, metaclass=View, of=vae.Decoder):
    """Latent to picture."""

    def __init__(self, **given: Any) -> None:
        super().__init__(_config(**given), PLAIN_OPS, sdpa.attend)


def _config(
    *, ch: int, out_ch: int, num_res_blocks: int, in_channels: int, z_channels: int,
    ch_mult: Sequence[int] = (1, 2, 4, 8), attn_resolutions: Sequence[int] = (), double_z: bool = True, **_more: Any,
) -> VAEConfig:  # fmt: skip
    """Return the sizes that CompVis's arguments mean.

    Raises:
        UnsupportedFeature: attention elsewhere than in the middle, or an encoder that gives no variances.
    """
    if attn_resolutions or not double_z:
        raise UnsupportedFeature(f"an autoencoder with attn_resolutions={list(attn_resolutions)}, double_z={double_z}")
    return VAEConfig(
        in_channels=in_channels, out_channels=out_ch, channels=ch, channel_mult=tuple(ch_mult),
        num_res_blocks=num_res_blocks, z_channels=z_channels, embed_dim=z_channels,
    )  # fmt: skip
