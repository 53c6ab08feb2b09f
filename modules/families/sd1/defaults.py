"""Numbers of Stable Diffusion v1 that no checkpoint carries."""

from modules.families.family import LatentSpec

PREVIEW = (
    (0.298, 0.207, 0.208),
    (0.187, 0.286, 0.173),
    (-0.158, 0.189, 0.264),
    (-0.184, -0.271, -0.473),
)
"""[latent channels, RGB]: rough colours of a scaled latent, fitted to Stable Diffusion 1.5."""

LATENT = LatentSpec(channels=4, downscale=8, scale=0.18215, shift=0.0, preview=PREVIEW, tiny="taesd", approx="model")

UNET_HEADS = 8
NORM_GROUPS = 32
TEXT_HEAD_WIDTH = 64
