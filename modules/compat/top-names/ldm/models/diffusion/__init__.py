"""`ldm.models.diffusion`."""
