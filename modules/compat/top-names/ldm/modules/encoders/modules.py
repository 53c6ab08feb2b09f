"""`ldm.modules.encoders.modules`."""

from modules.families.openclip import OpenClip as FrozenOpenCLIPEmbedder
from modules.families.sd1.text import TextEncoder as FrozenCLIPEmbedder

__all__ = ["FrozenCLIPEmbedder", "FrozenOpenCLIPEmbedder"]
