"""`sgm.modules.diffusionmodules.model`."""

from modules.compat.facade import same_module

same_module(__name__, "ldm.modules.diffusionmodules.model")
