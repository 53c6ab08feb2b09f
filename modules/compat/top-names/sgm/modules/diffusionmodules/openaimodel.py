"""`sgm.modules.diffusionmodules.openaimodel`."""

from modules.compat.facade import same_module

same_module(__name__, "ldm.modules.diffusionmodules.openaimodel")
