"""A1111's `modules.hashes`."""

from modules.compat.kept import calculate_sha256, sha256, sha256_from_cache

__all__ = ["calculate_sha256", "sha256", "sha256_from_cache"]
blksize = 1024 * 1024
