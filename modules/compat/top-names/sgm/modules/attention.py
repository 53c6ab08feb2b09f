"""`sgm.modules.attention`: the layers are those of `ldm`."""

from modules.compat.facade import same_module

same_module(__name__, "ldm.modules.attention")
