"""A1111's `modules.sd_hijack_clip`."""

from modules.compat.networks_text import (
    FrozenCLIPEmbedderWithCustomWords,
    FrozenCLIPEmbedderWithCustomWordsBase,
    PromptChunk,
)

__all__ = ["FrozenCLIPEmbedderWithCustomWords", "FrozenCLIPEmbedderWithCustomWordsBase", "PromptChunk"]
