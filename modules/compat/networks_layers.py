"""`ldm.modules.attention` and `ldm.modules.diffusionmodules.openaimodel`: layers of this program under CompVis's constructors.

Each class is the one that models are built of, so layers of a model are its instances; made by its own name and arguments
it is a new layer with the same names of weights. What this program's layers do not do is refused.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from modules.compat.networks_view import View
from modules.domain.errors import UnsupportedFeature
from modules.families.sd1 import network
from modules.families.sd1.network import UNetConfig
from modules.nn import blocks
from modules.nn.attention import sdpa
from modules.nn.ops import PLAIN_OPS

GROUPS = 32


def _refuse(**wanted: Any) -> None:
    """Refuse what is asked for and cannot be had.

    Raises:
        UnsupportedFeature: something is.
    """
    for name, value in wanted.items():
        if value:
            raise UnsupportedFeature(f"a layer with {name}={value!r}")


class CrossAttention(blocks.CrossAttention, metaclass=View, of=blocks.CrossAttention):
    """Attention to a context of another width; `heads * dim_head` wide inside."""

    def __init__(
        self, query_dim: int, context_dim: int | None = None, heads: int = 8, dim_head: int = 64, dropout: float = 0.0,
        **_more: Any,
    ) -> None:  # fmt: skip
        nn.Module.__init__(self)
        inner, source = heads * dim_head, query_dim if context_dim is None else context_dim
        self.heads, self.attend = heads, sdpa.attend
        self.to_q = nn.Linear(query_dim, inner, bias=False)
        self.to_k, self.to_v = nn.Linear(source, inner, bias=False), nn.Linear(source, inner, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner, query_dim), nn.Dropout(dropout))


class MemoryEfficientCrossAttention(CrossAttention):
    """The same through xformers; no layer is one, since attention is chosen in another way here."""


class FeedForward(blocks.FeedForward, metaclass=View, of=blocks.FeedForward):
    """The two-layer network after the attentions, gated or with a plain activation."""

    def __init__(
        self, dim: int, dim_out: int | None = None, mult: int = 4, glu: bool = False, dropout: float = 0.0
    ) -> None:
        nn.Module.__init__(self)
        inner = int(dim * mult)
        entrance = GEGLU(dim, inner) if glu else nn.Sequential(nn.Linear(dim, inner), nn.GELU())
        self.net = nn.Sequential(entrance, nn.Dropout(dropout), nn.Linear(inner, dim_out or dim))


class GEGLU(blocks.GatedGelu, metaclass=View, of=blocks.GatedGelu):
    """A linear layer whose second half gates its first."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__(dim_in, dim_out, ops=PLAIN_OPS)


class BasicTransformerBlock(blocks.BasicTransformerBlock, metaclass=View, of=blocks.BasicTransformerBlock):
    """Self attention, attention to the context, feed-forward."""

    def __init__(
        self, dim: int, n_heads: int, d_head: int, dropout: float = 0.0, context_dim: int | None = None,
        gated_ff: bool = True, checkpoint: bool = True, disable_self_attn: bool = False, **_more: Any,
    ) -> None:  # fmt: skip
        _refuse(disable_self_attn=disable_self_attn)
        nn.Module.__init__(self)
        self.attn1 = CrossAttention(dim, heads=n_heads, dim_head=d_head, dropout=dropout)
        self.ff = FeedForward(dim, dropout=dropout, glu=gated_ff)
        self.attn2 = CrossAttention(dim, context_dim, n_heads, d_head, dropout)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)


class SpatialTransformer(blocks.SpatialTransformer, metaclass=View, of=blocks.SpatialTransformer):
    """Transformer blocks over the pixels of a feature map."""

    def __init__(
        self, in_channels: int, n_heads: int, d_head: int, depth: int = 1, dropout: float = 0.0, context_dim: Any = None,
        disable_self_attn: bool = False, use_linear: bool = False, use_checkpoint: bool = True, **_more: Any,
    ) -> None:  # fmt: skip
        nn.Module.__init__(self)
        widths = context_dim if isinstance(context_dim, list | tuple) else [context_dim] * depth
        inner = n_heads * d_head
        self.linear = use_linear
        self.norm = nn.GroupNorm(GROUPS, in_channels, eps=1e-6)
        self.proj_in = nn.Linear(in_channels, inner) if use_linear else nn.Conv2d(in_channels, inner, 1)
        self.transformer_blocks = nn.ModuleList(
            BasicTransformerBlock(inner, n_heads, d_head, dropout, width, disable_self_attn=disable_self_attn)
            for width in widths
        )
        leave = nn.Linear(inner, in_channels) if use_linear else nn.Conv2d(inner, in_channels, 1)
        self.proj_out = zero_module(leave)


class ResBlock(blocks.ResBlock, metaclass=View, of=blocks.ResBlock):
    """Two convolutions with the timestep added between them."""

    def __init__(
        self, channels: int, emb_channels: int, dropout: float = 0.0, out_channels: int | None = None,
        use_conv: bool = False, use_scale_shift_norm: bool = False, dims: int = 2, use_checkpoint: bool = False,
        up: bool = False, down: bool = False, **_more: Any,
    ) -> None:  # fmt: skip
        _refuse(
            use_conv=use_conv,
            use_scale_shift_norm=use_scale_shift_norm,
            up=up,
            down=down,
            dims=dims if dims != 2 else 0,
        )
        super().__init__(channels, out_channels or channels, emb_channels, norm_groups=GROUPS, ops=PLAIN_OPS)
        self.out_layers[2] = nn.Dropout(dropout)
        zero_module(self.out_layers[3])


class Downsample(blocks.Downsample, metaclass=View, of=blocks.Downsample):
    """Halve height and width by a strided convolution."""

    def __init__(
        self, channels: int, use_conv: bool = True, dims: int = 2, out_channels: int | None = None, padding: int = 1,
        **_more: Any,
    ) -> None:  # fmt: skip
        _refuse(use_conv=None if use_conv else "False", dims=dims if dims != 2 else 0)
        nn.Module.__init__(self)
        self.op = nn.Conv2d(channels, out_channels or channels, 3, stride=2, padding=padding)


class Upsample(blocks.Upsample, metaclass=View, of=blocks.Upsample):
    """Double height and width by repetition, then smooth by a convolution."""

    def __init__(
        self, channels: int, use_conv: bool = True, dims: int = 2, out_channels: int | None = None, padding: int = 1,
        **_more: Any,
    ) -> None:  # fmt: skip
        _refuse(use_conv=None if use_conv else "False", dims=dims if dims != 2 else 0)
        nn.Module.__init__(self)
        self.conv = nn.Conv2d(channels, out_channels or channels, 3, padding=padding)


class TimestepBlock(nn.Module):
    """Base of an extension's layers that are told the timestep."""

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Run the layer.

        Raises:
            NotImplementedError: always; layers define it.
        """
        raise NotImplementedError


class TimestepEmbedSequential(network.Stage, metaclass=View, of=network.Stage):
    """Layers of one resolution; each gets what it needs of timestep and context."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(layers)


class AttentionBlock(nn.Module):
    """Attention of a feature map to itself, without a text; no layer of the models here is one."""

    def __init__(
        self, channels: int, num_heads: int = 1, num_head_channels: int = -1, use_checkpoint: bool = False,
        use_new_attention_order: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_heads = num_heads if num_head_channels == -1 else channels // num_head_channels
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = zero_module(nn.Conv1d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        mixed = self.qkv(self.norm(x).flatten(2)).unflatten(1, (self.num_heads, 3, -1))  # [B, heads, 3, d, L]
        q, k, v = (one.transpose(-1, -2) for one in mixed.unbind(2))
        attended = F.scaled_dot_product_attention(q, k, v).transpose(-1, -2).flatten(1, 2)  # [B, C, L]
        return x + self.proj_out(attended).unflatten(2, x.shape[2:])


class UNetModel(network.UNet, metaclass=View, of=network.UNet):
    """The denoising UNet."""

    def __init__(
        self, image_size: Any, in_channels: int, model_channels: int, out_channels: int, num_res_blocks: int,
        attention_resolutions: Sequence[int], dropout: float = 0.0, channel_mult: Sequence[int] = (1, 2, 4, 8),
        *, num_heads: int = -1, num_head_channels: int = -1, use_spatial_transformer: bool = True,
        transformer_depth: Any = 1, context_dim: Any = None, use_linear_in_transformer: bool = False,
        num_classes: Any = None, adm_in_channels: int | None = None, resblock_updown: bool = False,
        use_scale_shift_norm: bool = False, **_more: Any,
    ) -> None:  # fmt: skip
        _refuse(
            use_spatial_transformer=None if use_spatial_transformer else "False", resblock_updown=resblock_updown,
            use_scale_shift_norm=use_scale_shift_norm,
        )  # fmt: skip
        levels = range(len(channel_mult))
        depths = transformer_depth if isinstance(transformer_depth, list | tuple) else [transformer_depth] * len(levels)
        width = context_dim[0] if isinstance(context_dim, list | tuple) else context_dim
        super().__init__(
            UNetConfig(
                in_channels=in_channels, out_channels=out_channels, model_channels=model_channels,
                channel_mult=tuple(channel_mult), num_res_blocks=num_res_blocks, context_dim=width,
                transformer_depth=tuple(depths[at] if 2**at in attention_resolutions else 0 for at in levels),
                middle_depth=depths[-1], num_heads=None if num_heads == -1 else num_heads,
                num_head_channels=None if num_head_channels == -1 else num_head_channels,
                linear_projection=use_linear_in_transformer,
                vector_dim=adm_in_channels if num_classes == "sequential" else None,
            )
        )  # fmt: skip


def zero_module(module: Any) -> Any:
    """Fill the weights of a layer with zeros and return it."""
    for weight in module.parameters():
        weight.detach().zero_()
    return module
