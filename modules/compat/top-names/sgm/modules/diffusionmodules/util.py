"""`sgm.modules.diffusionmodules.util`."""

from modules.compat.facade import same_module

same_module(__name__, "ldm.modules.diffusionmodules.util")
