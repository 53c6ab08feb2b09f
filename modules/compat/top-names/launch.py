"""A1111's `launch`, as installers of extensions import it."""

from modules.compat.facade import same_module

same_module(__name__, "modules.launch_utils")
