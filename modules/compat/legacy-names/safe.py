"""A1111's `modules.safe`."""

from modules.compat.facade import compute
from modules.compat.unpickling import ExtraPickle as Extra
from modules.compat.unpickling import checked_load as load
from modules.compat.unpickling import torch_load as _torch_load

__all__ = ["Extra", "load"]
compute(__name__, {"unsafe_torch_load": _torch_load})
