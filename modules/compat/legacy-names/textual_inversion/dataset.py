"""A1111's `modules.textual_inversion.dataset`."""

import re

re_numbers_at_start = re.compile(r"^[-\d]+\s*")
"""What data sets number their files with."""
