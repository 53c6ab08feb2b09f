"""Styles: named texts that are added to prompts, kept in `styles.csv`."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from modules.domain.errors import LimitExceeded

PLACEHOLDER = "{prompt}"
MAX_FILE_BYTES = 64 << 20
_SPACES = re.compile(" {2,}+")


@dataclass(frozen=True, slots=True)
class Style:
    """One row of a styles file."""

    name: str
    prompt: str = ""
    negative_prompt: str = ""


@dataclass(frozen=True, slots=True)
class StyleTable:
    """What a styles file holds, and one sentence for each row that could not be used."""

    styles: tuple[Style, ...]
    notes: tuple[str, ...] = ()
    rows: tuple[Style, ...] = ()
    """The styles, and among them the comments that have a name."""


def apply_styles(text: str, style_texts: Iterable[str], *, limit: int = 50_000, field: str = "prompt") -> str:
    """Apply style texts to a prompt (or negative texts to a negative prompt), each to the result of the one before.

    `{prompt}` in a style stands for the prompt; a style without it is appended after a comma.

    Raises:
        LimitExceeded: the result has more than `limit` characters.
    """
    for style in style_texts:
        copies = style.count(PLACEHOLDER)
        length = len(style) + copies * (len(text) - len(PLACEHOLDER)) if copies else len(text) + len(style) + 2
        if length > limit:
            raise LimitExceeded(field, f"{length} characters with styles", limit)
        if copies:
            text = style.replace(PLACEHOLDER, text)
        else:
            text = ", ".join(part for part in (text.strip(), style.strip()) if part)
    return text


def extract_styles(prompt: str, negative_prompt: str, styles: Sequence[Style]) -> tuple[tuple[str, ...], str, str]:
    """Undo `apply_styles`: find the styles that two finished texts contain.

    Returns:
        Names in the order in which they were applied, and both texts without them.
    """
    left = [style for style in styles if style.prompt or style.negative_prompt]
    found: list[str] = []
    while match := next(_matches(prompt, negative_prompt, left), None):
        style, prompt, negative_prompt = match
        left.remove(style)
        found.append(style.name)
    return tuple(reversed(found)), prompt, negative_prompt


def _matches(prompt: str, negative_prompt: str, styles: Iterable[Style]) -> Iterator[tuple[Style, str, str]]:
    prompt, negative_prompt = _single_spaced(prompt), _single_spaced(negative_prompt)
    for style in styles:
        positive = _without(prompt, _single_spaced(style.prompt))
        negative = _without(negative_prompt, _single_spaced(style.negative_prompt))
        if positive is not None and negative is not None:
            yield style, positive, negative


def _single_spaced(text: str) -> str:
    return _SPACES.sub(" ", text.strip())


def _without(text: str, style: str) -> str | None:
    """Return the text that the style was applied to, None when it was not."""
    if PLACEHOLDER in style:
        before, _, after = style.partition(PLACEHOLDER)
        fits = text.startswith(before) and text.endswith(after) and len(text) >= len(before) + len(after)
        return text[len(before) : len(text) - len(after)] if fits else None
    if not style:
        return text
    return text.removesuffix(style).removesuffix(", ") if text.endswith(style) else None


def parse_styles(text: str) -> StyleTable:
    """Read the text of a styles file. Never raises: damaged rows become notes.

    The header is `name,prompt,negative_prompt`, or `name,text` in old files. Rows without a name and rows whose
    name starts with `#` are comments.
    """
    rows = _rows(text.removeprefix("\ufeff"))
    notes: list[str] = []
    header = [cell.strip() for cell in next(rows, (0, [""], ""))[1]]
    if "name" not in header:
        return StyleTable((), ("no column called name in the first line",) if text.strip() else ())
    rows_by_name: dict[str, Style] = {}
    for line, cells, problem in rows:
        if problem:
            notes.append(f"line {line}: {problem}; skipped")
            continue
        row = dict(zip(header, cells, strict=False))
        if name := row.get("name", ""):
            rows_by_name[name] = Style(name, row.get("prompt", row.get("text", "")), row.get("negative_prompt", ""))
    found = tuple(rows_by_name.values())
    return StyleTable(tuple(row for row in found if not row.name.startswith("#")), tuple(notes), found)


def _rows(text: str) -> Iterator[tuple[int, list[str], str]]:
    """Yield (line number, cells, problem) of each row; the csv module refuses cells above 128 KB."""
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield reader.line_num, [], str(error)
        else:
            yield reader.line_num, cells, ""


def format_styles(styles: Iterable[Style]) -> str:
    """Return the text of a styles file; `parse_styles` reads it back."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(("name", "prompt", "negative_prompt"))
    writer.writerows((style.name, style.prompt, style.negative_prompt) for style in styles)
    return out.getvalue()


def read_styles(path: Path) -> StyleTable:
    """Read a styles file; a missing one is empty, an unreadable one is empty with a note."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            return StyleTable((), (f"{path.name}: larger than {MAX_FILE_BYTES >> 20} MB; not read",))
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            return parse_styles(file.read())
    except FileNotFoundError:
        return StyleTable(())
    except OSError as error:
        return StyleTable((), (f"{path.name}: {error.strerror}",))
