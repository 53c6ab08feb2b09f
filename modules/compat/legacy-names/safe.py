"""A1111's `modules.safe`."""

from modules.compat.facade import compute
from modules.compat.tools import ExtraPickle as Extra
from modules.compat.tools import checked_load as load
from modules.compat.tools import torch_load as _torch_load

__all__ = ["Extra", "load"]
compute(__name__, {"unsafe_torch_load": _torch_load})
