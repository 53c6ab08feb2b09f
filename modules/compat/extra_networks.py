"""Tags of prompts as A1111's extensions read them, and kinds of tags that extensions add."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from modules.prompting.extra_networks import parse_extra_networks


class ExtraNetworkParams:
    """What a tag says."""

    def __init__(self, items: Sequence[str] | None = None) -> None:
        self.items = list(items or ())
        self.positional: list[str] = []
        self.named: dict[str, str] = {}
        for item in self.items:
            key, separator, value = item.partition("=")
            if separator and "=" not in value:
                self.named[key] = value
            else:
                self.positional.append(item)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ExtraNetworkParams) and self.items == other.items

    __hash__ = None  # pyright: ignore[reportAssignmentType]


class ExtraNetwork:
    """Base of a kind of tag."""

    def __init__(self, name: str) -> None:
        self.name = name

    def activate(self, p: Any, params_list: list[ExtraNetworkParams]) -> None:
        """Do what the tags ask for, before each batch; the list is empty when there is none.

        Raises:
            NotImplementedError: always; kinds define it.
        """
        raise NotImplementedError

    def deactivate(self, p: Any) -> None:
        """Undo it at the end of the job.

        Raises:
            NotImplementedError: always; kinds define it.
        """
        raise NotImplementedError


def parse_prompt(prompt: str) -> tuple[str, dict[str, list[ExtraNetworkParams]]]:
    """Cut the tags out of a prompt."""
    text, tags = parse_extra_networks(prompt)
    found: dict[str, list[ExtraNetworkParams]] = defaultdict(list)
    for tag in tags:
        items = [*tag.positional, *(f"{key}={value}" for key, value in tag.named.items())]
        found[tag.name].append(ExtraNetworkParams(items))
    return text, found


def parse_prompts(prompts: Sequence[str]) -> tuple[list[str], dict[str, list[ExtraNetworkParams]]]:
    """Cut the tags out of prompts; those of the first one count."""
    parsed = [parse_prompt(prompt) for prompt in prompts]
    return [text for text, _ in parsed], parsed[0][1] if parsed else {}
