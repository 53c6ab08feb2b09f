"""A1111's `modules.options`."""

from modules.compat.options import OptionDiv, OptionHTML, OptionInfo, Options, options_section
from modules.compat.options import OptionsCategories as _OptionsCategories

__all__ = ["OptionDiv", "OptionHTML", "OptionInfo", "Options", "options_section"]

categories = _OptionsCategories()
