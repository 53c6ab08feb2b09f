"""A1111's `modules.sd_hijack_unet`."""

from modules.compat.networks_attention import TorchView as _TorchView

th = _TorchView()
