"""A1111's `modules.textual_inversion.textual_inversion`."""

from modules.compat.hijack import Embedding, EmbeddingDatabase, create_embedding_from_data

__all__ = ["Embedding", "EmbeddingDatabase", "create_embedding_from_data"]
