"""Plain Python of the extension."""

import re


def expand(text):
    return re.sub(r"\{([^{}|]*)\|[^{}]*\}", r"\1", text)
