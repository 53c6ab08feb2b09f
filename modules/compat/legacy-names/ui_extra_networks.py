"""A1111's `modules.ui_extra_networks`."""

from modules.compat.card_pages import ExtraNetworksPage, extra_pages, quote_js, register_page
from modules.compat.facade import compute

__all__ = ["ExtraNetworksPage", "allowed_dirs", "quote_js", "register_page"]

allowed_dirs: set[str] = set()
compute(__name__, {"extra_pages": extra_pages})
