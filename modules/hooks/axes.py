"""What a plot of many runs may vary from one to the next."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from modules.domain.request import Generation

Apply = Callable[[Generation, Any, Sequence[Any]], Generation]
"""(request, value, all values of the axis) -> the request of one run."""


def no_check(request: Generation, values: Sequence[Any]) -> None:
    """Accept all values."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Axis:
    """One thing that the X/Y/Z plot can vary."""

    label: str
    """Entry of the drop-downs, key of the legend and of the infotext."""
    apply: Apply
    """Changes the request of one run; must not change anything else."""
    read: Callable[[Sequence[str]], Sequence[Any]] = list
    """Makes values of the texts that a person typed, split at commas; raises ValueError for what is none."""
    tabs: tuple[str, ...] = ("txt2img", "img2img")
    choices: str | tuple[str, ...] | Callable[[], Sequence[str]] | None = None
    """What the values are chosen from: the name of a list of the program, or entries. None where they are typed."""
    check: Callable[[Generation, Sequence[Any]], None] = no_check
    """Raises InvalidRequest for values that cannot be used, before the first run."""
    show: Callable[[Generation, Any], str] | None = None
    """Writes a value into the legend; None writes `label: value`."""
    split: Callable[[str], Sequence[str]] | None = None
    """Splits what was typed, where that is not done at commas."""
    cost: float = 0.0
    """How long a change takes, compared with other axes: the dearest axis is varied in the outermost loop."""
