"""What extensions hang on the text encoders."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.compat.zoo_house import ZooHouse, zoo_house

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooHouse]:
    with zoo_house(tmp_path_factory.mktemp("texts")) as found:
        yield found


def made(zoo: ZooHouse, what: str, **more: Any) -> str:
    """Return the pixels of a picture."""
    return zoo.txt2img(alwayson_scripts={"Word hook": {"args": [what]}}, **more)["images"][0]


def pixels(zoo: ZooHouse, what: str, **more: Any) -> bytes:
    import base64
    import io

    from PIL import Image

    return Image.open(io.BytesIO(base64.b64decode(made(zoo, what, **more)))).tobytes()


def test_hooks_see_the_texts_and_may_replace_what_they_became(zoo: ZooHouse):
    seen = sys.modules["word_hook.py"].SEEN
    seen.clear()
    plain = pixels(zoo, "off")
    assert pixels(zoo, "look", prompt="a (red:1.3) circle", negative_prompt="grey") == pixels(
        zoo, "off", prompt="a (red:1.3) circle", negative_prompt="grey"
    )
    assert sorted(seen) == [["a (red:1.3) circle"], ["grey"]]
    zeros = [pixels(zoo, "hook", prompt=text) for text in ("one", "another")]
    assert zeros[0] == zeros[1] != plain
    assert pixels(zoo, "off") == plain


def test_methods_may_be_replaced(zoo: ZooHouse):
    assert pixels(zoo, "method", override_settings={"emphasis": "No norm"}) != pixels(zoo, "off")


def test_long_prompts_and_alternation_take_the_same_way(zoo: ZooHouse):
    for text in ("a [red|blue] circle", "red " * 90):
        assert pixels(zoo, "look", prompt=text) == pixels(zoo, "off", prompt=text)


def test_embeddings_of_extensions_stand_in_for_words(zoo: ZooHouse):
    assert pixels(zoo, "word", prompt="a zebra circle") == pixels(zoo, "off", prompt="a blue circle")
    assert pixels(zoo, "off", prompt="a zebra circle") != pixels(zoo, "off", prompt="a blue circle")
