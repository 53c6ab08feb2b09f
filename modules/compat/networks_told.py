"""What layers of CompVis's networks tell of themselves and how they are called, added to the layers of this program.

Extensions read these attributes of layers that they find in a model, replace `_forward`, and call layers with A1111's
keywords. All of it is added to the classes when an extension looks at layers for the first time, and taken away when the
view is.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from modules.domain.errors import UnsupportedFeature
from modules.families.sd1 import network, vae
from modules.nn import blocks

Get = Callable[[Any], Any]


class Told:
    """An attribute that is worked out; one that was assigned to a layer comes first."""

    def __init__(self, get: Get) -> None:
        self._get = get

    def __get__(self, layer: Any, owner: Any = None) -> Any:
        """Return the value for a layer."""
        return self if layer is None else self._get(layer)


def _always(value: Any) -> Get:
    return lambda _layer: value


_NO_TRAINING: Mapping[str, Get] = {"checkpoint": _always(False), "use_checkpoint": _always(False)}
_VAE_COMMON: Mapping[str, Get] = {
    "num_resolutions": lambda layer: len(getattr(layer, "down", None) or layer.up),
    "temb_ch": _always(0), "give_pre_end": _always(False), "tanh_out": _always(False),
}  # fmt: skip

ATTRIBUTES: Mapping[type, Mapping[str, Get]] = {
    blocks.CrossAttention: {
        "dim_head": lambda layer: layer.to_q.out_features // layer.heads,
        "scale": lambda layer: (layer.to_q.out_features // layer.heads) ** -0.5,
    },
    blocks.BasicTransformerBlock: {"disable_self_attn": _always(False), **_NO_TRAINING},
    blocks.SpatialTransformer: {
        "in_channels": lambda layer: layer.norm.num_channels, "use_linear": lambda layer: layer.linear,
    },
    blocks.ResBlock: {
        "channels": lambda layer: layer.in_layers[0].num_channels,
        "out_channels": lambda layer: layer.out_layers[0].num_channels,
        "emb_channels": lambda layer: layer.emb_layers[1].in_features,
        "use_conv": _always(False), "use_scale_shift_norm": _always(False), "updown": _always(False),
        "dropout": _always(0.0), **_NO_TRAINING,
    },
    blocks.Downsample: {
        "channels": lambda layer: layer.op.in_channels, "out_channels": lambda layer: layer.op.out_channels,
        "use_conv": _always(True), "dims": _always(2),
    },
    blocks.Upsample: {
        "channels": lambda layer: layer.conv.in_channels, "out_channels": lambda layer: layer.conv.out_channels,
        "use_conv": _always(True), "dims": _always(2),
    },
    network.UNet: {
        **{
            name: (lambda layer, name=name: getattr(layer.config, name))
            for name in ("in_channels", "out_channels", "model_channels", "channel_mult", "num_res_blocks", "num_heads",
                         "num_head_channels", "context_dim")
        },
        "dtype": lambda layer: next(layer.parameters()).dtype,
        "num_classes": lambda layer: None if layer.config.vector_dim is None else "sequential",
        "adm_in_channels": lambda layer: layer.config.vector_dim,
        "conv_resample": _always(True), "predict_codebook_ids": _always(False), **_NO_TRAINING,
    },
    vae.ResnetBlock: {
        "in_channels": lambda layer: layer.conv1.in_channels, "out_channels": lambda layer: layer.conv1.out_channels,
        "use_conv_shortcut": _always(False),
    },
    vae.AttnBlock: {"in_channels": lambda layer: layer.q.in_channels},
    vae.Downsample: {"with_conv": _always(True)},
    vae.Upsample: {"with_conv": _always(True)},
    vae.Encoder: {
        **_VAE_COMMON, "num_res_blocks": lambda layer: len(layer.down[0].block),
        "ch": lambda layer: layer.conv_in.out_channels, "in_channels": lambda layer: layer.conv_in.in_channels,
    },
    vae.Decoder: {
        **_VAE_COMMON, "num_res_blocks": lambda layer: len(layer.up[0].block) - 1,
        "ch": lambda layer: layer.norm_out.num_channels, "in_channels": lambda layer: layer.conv_in.in_channels,
    },
}  # fmt: skip
"""Class -> attribute -> its value for a layer."""


def _attention(own: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def forward(self: Any, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None, **_more: Any) -> Tensor:  # fmt: skip
        if mask is not None:
            raise UnsupportedFeature("a mask of the context in attention")
        return own(self, x, context)

    return forward


def _transformer(own: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def forward(self: Any, x: Tensor, context: Tensor | None = None, *_rest: Any, **_more: Any) -> Tensor:
        return self._forward(x, context) if hasattr(self, "_forward") else own(self, x, context)

    return forward


def _residual(_own: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def forward(self: Any, x: Tensor, emb: Tensor) -> Tensor:
        return self._forward(x, emb)

    return forward


def _stage(own: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def forward(self: Any, x: Tensor, emb: Tensor, context: Any = None, *_rest: Any, **_more: Any) -> Tensor:
        return own(self, x, emb, context)

    return forward


def _unet(own: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def forward(self: Any, x: Tensor, timesteps: Any = None, context: Any = None, y: Any = None, *_rest: Any, **_more: Any) -> Tensor:  # fmt: skip
        return own(self, x, timesteps, context, y)

    return forward


FORWARDS: Mapping[type[nn.Module], Callable[[Callable[..., Tensor]], Callable[..., Tensor]]] = {
    blocks.CrossAttention: _attention, blocks.BasicTransformerBlock: _transformer,
    blocks.SpatialTransformer: _transformer, blocks.ResBlock: _residual, network.Stage: _stage, network.UNet: _unet,
}  # fmt: skip
"""Class -> what makes of its own `forward` one that takes A1111's arguments."""
INNER: tuple[type[nn.Module], ...] = (blocks.BasicTransformerBlock, blocks.ResBlock)
"""Classes whose work is done in `_forward`, which extensions replace on single layers."""


def dress() -> None:
    """Add everything; only the first call does something."""
    if hasattr(network.UNet, "dtype"):
        return
    for cls in INNER:
        _put(cls, "_forward", cls.forward)
    for cls, make in FORWARDS.items():
        own = cls.forward
        _put(cls, "_plain_forward", own)
        _put(cls, "forward", make(own))
    for cls, told in ATTRIBUTES.items():
        for name, get in told.items():
            _put(cls, name, Told(get))


def join_by(cat: Callable[..., Tensor]) -> None:
    """Let UNets put shortcuts beside what comes up to them by a function that replaces `torch.cat`."""
    dress()
    if "_plain_join" not in vars(network.UNet):
        _put(network.UNet, "_plain_join", vars(network.UNet)["join"])

    def join(x: Tensor, skip: Tensor) -> Tensor:
        fitting = x if x.shape[-2:] == skip.shape[-2:] else functional.interpolate(x, size=skip.shape[-2:], mode="nearest")  # fmt: skip
        return cat([fitting, skip], dim=1)

    _put(network.UNet, "join", staticmethod(join))


def undress() -> None:
    """Take everything away again, whatever extensions assigned to the classes meanwhile."""
    if not hasattr(network.UNet, "dtype"):
        return
    if "_plain_join" in vars(network.UNet):
        _put(network.UNet, "join", vars(network.UNet)["_plain_join"])
        delattr(network.UNet, "_plain_join")
    for cls in FORWARDS:
        _put(cls, "forward", vars(cls)["_plain_forward"])
        delattr(cls, "_plain_forward")
    for cls in INNER:
        delattr(cls, "_forward")
    for cls, told in ATTRIBUTES.items():
        for name in told:
            delattr(cls, name)


def _put(cls: type, name: str, value: Any) -> None:
    setattr(cls, name, value)
