"""Tags such as `<lora:name:0.8>` that switch on additional networks and are not part of the text."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

_OPENING = re.compile(r"<(\w++):")
_LORA = re.compile(r"<(lora|lyco):([^:<>]++)(?=[:>])")
_LONGEST = 10_000
"""Characters of a list of hashes that are read."""


@dataclass(frozen=True, slots=True)
class ExtraNetwork:
    """One tag: `<name:positional:key=value>`."""

    name: str
    """Kind of network: lora, lyco, hypernet, ..."""
    positional: tuple[str, ...] = ()
    named: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def target(self) -> str:
        """Name of the file or alias the tag asks for, "" when it names none."""
        return self.positional[0] if self.positional else ""


def parse_extra_networks(text: str) -> tuple[str, tuple[ExtraNetwork, ...]]:
    """Cut all tags out of a prompt. Never raises.

    Returns:
        The text without tags (blanks around them stay) and the tags in order. `<a:>` and unclosed tags stay text.
    """
    kept: list[str] = []
    tags: list[ExtraNetwork] = []
    position = 0
    search_from = 0
    while opening := _OPENING.search(text, search_from):
        close = text.find(">", opening.end())
        if close < 0:
            break
        if close == opening.end():
            search_from = close
            continue
        kept.append(text[position : opening.start()])
        tags.append(_tag(opening.group(1), text[opening.end() : close]))
        position = search_from = close + 1
    kept.append(text[position:])
    return "".join(kept), tuple(tags)


def with_local_names(prompt: str, hashes: str, find: Callable[[str], str | None]) -> str:
    """Give LoRAs in a prompt from elsewhere the names that the same files have here.

    Args:
        prompt: with tags.
        hashes: `name: hash, name: hash` as infotexts have it.
        find: hash -> name of the file here, None when there is none.
    """
    pairs = (entry.rpartition(":") for entry in hashes[:_LONGEST].split(","))
    known = {name.strip(): digest.strip() for name, _, digest in pairs}

    def local(match: re.Match[str]) -> str:
        digest = known.get(match[2].replace(",", ""))
        name = find(digest) if digest else None
        return f"<{match[1]}:{name}" if name else match[0]

    return _LORA.sub(local, prompt)


def _tag(name: str, arguments: str) -> ExtraNetwork:
    positional: list[str] = []
    named: dict[str, str] = {}
    for argument in arguments.split(":"):
        if argument.count("=") == 1:
            key, _, value = argument.partition("=")
            named[key] = value
        else:
            positional.append(argument)
    return ExtraNetwork(name, tuple(positional), MappingProxyType(named))
