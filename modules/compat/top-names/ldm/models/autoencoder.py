"""`ldm.models.autoencoder`."""

from modules.families.sd1.vae import VAE as AutoencoderKL

__all__ = ["AutoencoderKL"]
