"""`sgm.models.autoencoder`."""

from modules.compat.facade import same_module

same_module(__name__, "ldm.models.autoencoder")
