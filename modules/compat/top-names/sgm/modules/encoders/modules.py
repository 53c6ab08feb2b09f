"""`sgm.modules.encoders.modules`."""

from modules.compat.networks_text import ConcatTimestepEmbedderND, GeneralConditioner
from modules.families.openclip import OpenClip as FrozenOpenCLIPEmbedder2
from modules.families.sd1.text import TextEncoder as FrozenCLIPEmbedder

__all__ = ["ConcatTimestepEmbedderND", "FrozenCLIPEmbedder", "FrozenOpenCLIPEmbedder2", "GeneralConditioner"]
