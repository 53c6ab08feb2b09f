"""`sgm.modules.diffusionmodules`."""
