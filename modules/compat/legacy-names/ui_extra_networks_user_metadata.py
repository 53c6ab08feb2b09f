"""A1111's `modules.ui_extra_networks_user_metadata`."""

from modules.compat.card_notes import UserMetadataEditor

__all__ = ["UserMetadataEditor"]
