"""A1111's `modules.cache`."""

from modules.compat.kept import cache, cached_data_for_file, dump_cache

__all__ = ["cache", "cached_data_for_file", "dump_cache"]
