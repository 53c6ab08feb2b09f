"""Comments in prompts: from `#` to the end of the line."""

import re

_WHOLE_LINE = re.compile(r"(?:\A|\n)#[^\n]*+(?:\n|\Z)")
_TAIL = re.compile(r"#[^\n]*+(?:\n|\Z)")


def strip_comments(text: str) -> str:
    """Remove comments. A line that is nothing but a comment goes with its line break; there is no escape for `#`."""
    return _TAIL.sub("\n", _WHOLE_LINE.sub("\n", text))
