"""Networks that extensions offer in the place of a checkpoint's own."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.compat.test_zoo import info, picture
from tests.compat.zoo_house import ZOO, ZooHouse, zoo_house

pytestmark = pytest.mark.slow
NAME = "other-unet"


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooHouse]:
    folder = tmp_path_factory.mktemp("unets")
    (folder / "zoo").mkdir()
    (folder / "zoo" / NAME).symlink_to(ZOO / NAME)
    with zoo_house(folder, zoo=folder / "zoo") as found:
        yield found


def with_unet(zoo: ZooHouse, name: str, **body: Any) -> dict[str, Any]:
    return zoo.txt2img(override_settings={"sd_unet": name}, **body)


def test_the_one_that_is_chosen_denoises_and_leaves_when_it_is_not(zoo: ZooHouse):
    seen = sys.modules["other_unet.py"].SEEN
    seen.clear()
    plain = zoo.txt2img(negative_prompt="grey")
    assert seen == []
    first = with_unet(zoo, "Quiet", negative_prompt="grey")
    assert seen[0] == ("activate", "Quiet")
    assert all(shape[2:] == plain_shape[2:] for shape, plain_shape in zip((seen[1][0],), (seen[-1][0],), strict=True))
    assert seen[1][1:] == ((2,), 2)
    other = with_unet(zoo, "Quiet", prompt="blue", negative_prompt="grey")
    assert (picture(first) == picture(other)).all(), "the network that answers does not read prompts"
    assert (picture(first) != picture(plain)).any()
    assert "Quiet" not in info(first)["infotexts"][0]
    assert [one for one in seen if one[0] in ("activate", "deactivate")] == [("activate", "Quiet")]
    assert (picture(with_unet(zoo, "None", negative_prompt="grey")) == picture(plain)).all()
    assert seen[-1] == ("deactivate", "Quiet")


def test_automatic_goes_by_the_checkpoint(zoo: ZooHouse):
    seen = sys.modules["other_unet.py"].SEEN
    seen.clear()
    zoo.txt2img(override_settings={"sd_model_checkpoint": "zebra"})
    assert seen[0] == ("activate", "[TRT] zebra")
    zoo.txt2img(override_settings={"sd_model_checkpoint": "toy"})
    assert seen[-1] == ("deactivate", "[TRT] zebra")


def test_what_is_not_there_is_told(zoo: ZooHouse):
    plain, gone = zoo.txt2img(), with_unet(zoo, "Loud")
    assert (picture(plain) == picture(gone)).all()
    assert any("SD Unet 'Loud' not found" in text for text in info(gone)["warnings"])
    assert zoo.client.get("/sdapi/v1/options").json()["sd_unet"] == "Automatic"
