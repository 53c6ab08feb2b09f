"""A1111's `modules.ui_common`."""

from modules.compat.facade import same_module

same_module(__name__, "modules.ui")
