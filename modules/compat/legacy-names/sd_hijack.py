"""A1111's `modules.sd_hijack`."""

from modules.compat.hijack import Hijack as _Hijack

model_hijack = _Hijack()
