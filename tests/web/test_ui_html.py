"""Nothing that comes from outside becomes an element or a handler."""

from html.parser import HTMLParser

import pytest

from modules.imaging.read_info import PictureInfo
from modules.web.ui import html
from modules.web.ui.results import error_line, page_root
from modules.web.ui.tabs.pnginfo import describe

PAYLOADS = (
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "</textarea><svg onload=alert(1)>",
    "'\"><iframe src=javascript:alert(1)>",
    '" onmouseover="alert(1)',
    "' autofocus onfocus='alert(1)",
    "<a href=javascript:alert(1)>x</a>",
    "&lt;img src=x onerror=alert(1)&gt;",
    "\u202e<b>\ufeff",
    "<!--><img src=x onerror=alert(1)>-->",
    "${alert(1)}{{constructor}}`",
    "<\x00img src=x onerror=alert(1)>",
)


class Seen(HTMLParser):
    """Collects elements, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.mark.parametrize("payload", PAYLOADS)
def test_text_stays_text(payload: str):
    seen = Seen(str(html.element("p", payload, title=payload)))
    assert (seen.tags, seen.attributes) == (["p"], ["title"])
    assert seen.words == payload


@pytest.mark.parametrize("payload", PAYLOADS)
def test_every_text_of_a_picture_is_shown_as_text(payload: str):
    seen = Seen(str(describe(PictureInfo(infotext=payload, items={payload: payload}))))
    assert set(seen.tags) == {"div", "h4", "p"}
    assert set(seen.attributes) == {"class"}
    assert seen.words.count(payload) == 3


@pytest.mark.parametrize("payload", PAYLOADS)
def test_errors_are_shown_as_text(payload: str):
    seen = Seen(str(error_line(payload, payload)))
    assert seen.tags == ["div", "strong"]
    assert set(seen.attributes) == {"class", "role"}


@pytest.mark.parametrize("address", ["javascript:alert(1)", "//evil.example", "data:text/html,x", " javascript:x"])
def test_links_lead_only_to_pages(address: str):
    assert Seen(str(html.link("label", address))).tags == []


def test_paragraphs_keep_lines_apart():
    assert html.paragraphs("a\nb & c") == "<p>a</p><p>b &amp; c</p>"


@pytest.mark.parametrize("base", ["javascript:alert(1)//", "", "/relative", "file:///etc/passwd", "http://[broken"])
def test_pictures_are_only_addressed_below_a_page(base: str):
    from modules.domain.errors import InvalidRequest

    with pytest.raises(InvalidRequest, match="base"):
        page_root(base)


def test_pictures_are_addressed_relative_to_the_page():
    assert page_root("http://h:7860/sub/?__theme=dark#x") == "http://h:7860/sub/"
    assert page_root("https://h") == "https://h/"
