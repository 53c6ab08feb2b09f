"""A1111's `modules.ui_settings`."""

from modules.compat.setting_controls import create_setting_component

__all__ = ["create_setting_component"]
