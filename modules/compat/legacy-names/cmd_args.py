"""A1111's `modules.cmd_args`."""

from modules.compat.facade import compute
from modules.compat.launching import full_parser

compute(__name__, {"parser": full_parser})
