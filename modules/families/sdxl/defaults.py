"""Numbers of Stable Diffusion XL that no checkpoint carries."""

from modules.families.family import LatentSpec

PREVIEW = (
    (0.3448, 0.4168, 0.4395),
    (-0.1953, -0.0290, 0.0250),
    (0.1074, 0.0886, -0.0163),
    (-0.3730, -0.2499, -0.2088),
)
"""[latent channels, RGB]: rough colours of a scaled latent."""

LATENT = LatentSpec(
    channels=4, downscale=8, scale=0.13025, shift=0.0, preview=PREVIEW, tiny="taesdxl", approx="vaeapprox-sdxl"
)

SIDE = 1024
"""Pixels; what a model is told where the picture's size is not known."""
IMAGE_SIZE = SIDE // LATENT.downscale
UNET_HEAD_CHANNELS = 64
NUMBER_WIDTH = 256
"""Width of the sinusoids of one number that a model is told."""
SMALL_LAYER = 2
"""Layer of the small encoder that is read, counted from the end."""
