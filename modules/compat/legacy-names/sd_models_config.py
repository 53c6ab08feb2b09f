"""A1111's `modules.sd_models_config`."""

from modules.compat.checkpoints import CONFIGS as _CONFIGS
from modules.compat.checkpoints import find_checkpoint_config

__all__ = ["find_checkpoint_config"]

globals().update(_CONFIGS)
