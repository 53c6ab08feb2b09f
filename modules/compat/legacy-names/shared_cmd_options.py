"""A1111's `modules.shared_cmd_options`."""

from modules.compat.facade import compute
from modules.compat.host import host as _host
from modules.compat.launching import full_parser

compute(__name__, {"cmd_opts": lambda: _host().flags, "parser": full_parser})
