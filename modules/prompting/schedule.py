"""Prompt editing over the run: `[from:to:when]` and `[a|b|c]`, nested in any way.

A construct counts only if everything inside it is well formed: brackets balanced, one colon at most in round
brackets, a number at the end of a switch. Brackets and colons that belong to no construct are literal text; a `|`
or a backslash that belongs to none makes the whole prompt literal.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# One kind of character per token: text runs, escaped characters, special characters.
_TOKEN = re.compile(r"[^\\\[\]():|]++|\\.|[\[\]():|]")
_NUMBER = re.compile(r"[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?")
_CLOSERS: Mapping[str, str] = {"(": ")", "[": "]"}


@dataclass(frozen=True, slots=True, eq=False)
class Switch:
    """`[before:after:when]`."""

    before: "Nodes"
    after: "Nodes"
    when: str


@dataclass(frozen=True, slots=True, eq=False)
class Alternation:
    """`[a|b|c]`: option (step - 1) mod n."""

    options: tuple["Nodes", ...]


Node = str | Switch | Alternation
Nodes = tuple[Node, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """A parsed prompt."""

    nodes: Nodes
    constructs: int
    """Number of switches and alternations."""

    def timeline(self, steps: int, hires_steps: int | None = None, old: bool = False) -> tuple[tuple[int, str], ...]:
        """Return (end_step, text) entries with rising end steps; the last one ends at the number of steps.

        Args:
            steps: model calls of the first pass, at least 1.
            hires_steps: model calls of the hires pass when the timeline is for that pass.
            old: the old meaning of numbers: below 1 a fraction of `steps`, else absolute, in both passes.
        """
        clock = _Clock(steps, hires_steps, old)
        whens = {node.when: clock.step_of(node.when) for node in _walk(self.nodes) if isinstance(node, Switch)}
        ends = {clock.steps, *(end for end in whens.values() if end >= 1)}
        if any(isinstance(node, Alternation) for node in _walk(self.nodes)):
            ends.update(range(1, clock.steps + 1))
        return tuple((end, _text_at(self.nodes, end, whens)) for end in sorted(ends))


def timeline(text: str, steps: int, hires_steps: int | None = None, old: bool = False) -> tuple[tuple[int, str], ...]:
    """Parse a prompt and return its timeline; see `Schedule.timeline`."""
    return parse_schedule(text).timeline(steps, hires_steps, old)


def parse_schedule(text: str) -> Schedule:
    """Parse switches and alternations in one pass over the text. Never raises."""
    reader = _Reader()
    position = 0
    for match in _TOKEN.finditer(text):
        if match.start() != position or not reader.take(match.group()):
            return _literal(text)
        position = match.end()
    if position != len(text) or not reader.give_up_open():
        return _literal(text)
    return Schedule(tuple(reader.items), reader.constructs)


def _literal(text: str) -> Schedule:
    return Schedule((text,), 0)


class _Frame:
    """An open bracket: where its items start and where its separators are."""

    __slots__ = ("marks", "opener", "separator", "start")

    def __init__(self, opener: str, start: int) -> None:
        self.opener, self.start = opener, start
        self.separator = ""
        self.marks: list[int] = []


class _Reader:
    """Reads tokens into one flat list; a construct that closes replaces its items by one node.

    Brackets and separators stay in the list as text, so giving up on a bracket costs nothing: its frame is forgotten.
    One that is given up takes all brackets around it along, because they would contain a stray bracket.
    """

    def __init__(self) -> None:
        self.items: list[Node] = []
        self.frames: list[_Frame] = []
        self.constructs = 0

    def take(self, token: str) -> bool:
        """Consume one token; False means that the prompt is literal as a whole."""
        if token in "([":
            self.frames.append(_Frame(token, len(self.items)))
        elif token in ":|":
            if not self._separate(token):
                return False
        elif token in ")]":
            return self._close(token)
        self.items.append(token)
        return True

    def give_up_open(self) -> bool:
        """Forget all open brackets; False when one of them held a `|`, which has no meaning outside."""
        ok = all(frame.separator != "|" for frame in self.frames)
        self.frames.clear()
        return ok

    def _separate(self, token: str) -> bool:
        frame = self.frames[-1] if self.frames else None
        if token == "|" and (frame is None or frame.opener == "(" or frame.separator == ":"):
            return False
        if frame is None:
            return True
        most_colons = 1 if frame.opener == "(" else 2
        if token == ":" and (frame.separator == "|" or len(frame.marks) == most_colons):
            return self.give_up_open()
        frame.separator = token
        frame.marks.append(len(self.items))
        return True

    def _close(self, token: str) -> bool:
        frame = self.frames[-1] if self.frames else None
        if frame is None or _CLOSERS[frame.opener] != token:
            self.items.append(token)
            return self.give_up_open()
        if frame.opener == "(" or not frame.marks:
            self.frames.pop()
            self.items.append(token)
            return True
        node = _node(frame.separator, self._parts(frame))
        if node is None:
            self.items.append(token)
            return self.give_up_open()
        self.frames.pop()
        del self.items[frame.start :]
        self.items.append(node)
        self.constructs += 1
        return True

    def _parts(self, frame: _Frame) -> list[Nodes]:
        starts = [frame.start, *frame.marks]
        ends = [*frame.marks, len(self.items)]
        return [_joined(self.items[start + 1 : end]) for start, end in zip(starts, ends, strict=True)]


def _node(separator: str, parts: Sequence[Nodes]) -> Switch | Alternation | None:
    """Build the construct of a closed square bracket, None when its last part is not the number it needs."""
    if separator == "|":
        return Alternation(tuple(parts))
    last = parts[-1]
    when = last[0].strip() if len(last) == 1 and isinstance(last[0], str) else ""
    if not _NUMBER.fullmatch(when):
        return None
    return Switch(parts[0] if len(parts) == 3 else (), parts[-2], when)


def _joined(items: Sequence[Node]) -> Nodes:
    """Merge neighbouring texts."""
    done: list[Node] = []
    run: list[str] = []
    for item in items:
        if isinstance(item, str):
            run.append(item)
            continue
        if run:
            done.append("".join(run))
            run = []
        done.append(item)
    if run:
        done.append("".join(run))
    return tuple(done)


class _Clock:
    """Turns the number of a switch into the last step of its first text."""

    def __init__(self, steps: int, hires_steps: int | None, old: bool) -> None:
        self.old = old
        second_pass = hires_steps is not None and not old
        self.steps = hires_steps if hires_steps is not None and not old else steps
        # A hires pass goes on counting: absolute steps after those of the first pass, fractions from one to two.
        self.first_absolute = steps if second_pass else 0
        self.first_fraction = 1.0 if second_pass else 0.0

    def step_of(self, number: str) -> int:
        value = float(number)
        if self.old:
            step = value * self.steps if value < 1 else value
        elif "." in number:
            step = (value - self.first_fraction) * self.steps
        else:
            step = value - self.first_absolute
        return int(max(-1.0, min(float(self.steps), step)))


def _walk(nodes: Nodes) -> list[Node]:
    """Return all nodes, nested ones included, in no particular order."""
    done: list[Node] = []
    waiting: list[Node] = list(nodes)
    while waiting:
        node = waiting.pop()
        done.append(node)
        if isinstance(node, Switch):
            waiting += node.before
            waiting += node.after
        elif isinstance(node, Alternation):
            for option in node.options:
                waiting += option
    return done


def _text_at(nodes: Nodes, step: int, whens: Mapping[str, int]) -> str:
    """Return the text of a 1-based step; visits only the branches that are chosen."""
    texts: list[str] = []
    waiting: list[Node] = list(reversed(nodes))
    while waiting:
        node = waiting.pop()
        if isinstance(node, str):
            texts.append(node)
        elif isinstance(node, Switch):
            waiting += reversed(node.before if step <= whens[node.when] else node.after)
        else:
            waiting += reversed(node.options[(step - 1) % len(node.options)])
    return "".join(texts)
