"""A1111's `modules.util`."""

from modules.compat.downloads import load_file_from_url
from modules.compat.listing import html, html_path, listfiles, natural_sort_key, walk_files

__all__ = ["html", "html_path", "listfiles", "load_file_from_url", "natural_sort_key", "walk_files"]
