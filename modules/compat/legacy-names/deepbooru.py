"""A1111's `modules.deepbooru`."""

import re as _re

from modules.compat.interrogating import Tagger as _Tagger

re_special = _re.compile(r"([\\()])")
"""What has a meaning in prompts and is written behind a backslash there."""
model = _Tagger()
