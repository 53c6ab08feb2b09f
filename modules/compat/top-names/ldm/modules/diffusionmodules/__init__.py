"""`ldm.modules.diffusionmodules`."""
