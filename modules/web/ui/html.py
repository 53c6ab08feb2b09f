"""Text into HTML. Every text that comes from a person, a file or a model passes through here and nowhere else."""

from collections.abc import Mapping
from html import escape

from markupsafe import Markup


def text(value: object) -> Markup:
    """Return a text so that a browser shows it and does nothing else with it; line ends stay."""
    return Markup(escape(str(value), quote=True).replace("\n", "<br>\n"))


def element(tag: str, *content: Markup | str, **attributes: str) -> Markup:
    """Make an element.

    Args:
        tag: name of the element, from our own code.
        *content: what is inside; plain strings are escaped.
        **attributes: `class_` stands for class, `data_x` for data-x; values are escaped.
    """
    inside = "".join(part if isinstance(part, Markup) else text(part) for part in content)
    return Markup(f"<{tag}{_attributes(attributes)}>{inside}</{tag}>")


def image(address: str, **attributes: str) -> Markup:
    """Show a picture of ours, without words for those who cannot see it; attributes as for `element`."""
    return Markup(f"<img{_attributes({'src': address, 'alt': '', **attributes})}>")


def link(label: str, address: str) -> Markup:
    """Make a link to one of our own pages or to a project's site; other schemes become plain text."""
    if not address.startswith(("https://", "http://", "/", "./")) or address.startswith("//"):
        return text(label)
    return element("a", label, href=address, target="_blank", rel="noopener")


def paragraphs(lines: str) -> Markup:
    """Return a text as one paragraph per line."""
    return Markup("").join(element("p", line) for line in lines.split("\n"))


def _attributes(attributes: Mapping[str, str]) -> str:
    named = ((name.rstrip("_").replace("_", "-"), value) for name, value in attributes.items())
    return "".join(f' {name}="{escape(value, quote=True)}"' for name, value in named)
