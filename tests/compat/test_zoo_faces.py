"""Face restorers that extensions add."""

from collections.abc import Iterator

import pytest

from tests.compat.test_zoo import info, picture
from tests.compat.zoo_house import ZOO, ZooHouse, zoo_house

pytestmark = pytest.mark.slow
NAME = "kind-faces"


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooHouse]:
    folder = tmp_path_factory.mktemp("faces")
    (folder / "zoo").mkdir()
    (folder / "zoo" / NAME).symlink_to(ZOO / NAME)
    with zoo_house(folder, zoo=folder / "zoo") as found:
        yield found


def test_the_one_that_is_chosen_restores_faces(zoo: ZooHouse):
    assert zoo.client.get("/sdapi/v1/face-restorers").json() == [{"name": "Kind faces", "cmd_dir": None}]
    plain = zoo.txt2img()
    kind = zoo.txt2img(restore_faces=True, override_settings={"face_restoration_model": "Kind faces"})
    expected = picture(plain)
    expected[16:48, 16:48] = 255 - expected[16:48, 16:48]
    assert (picture(kind) == expected).all()
    assert "Face restoration: Kind faces" in info(kind)["infotexts"][0]
    assert info(kind)["face_restoration_model"] == "Kind faces"


def test_one_that_is_not_there_is_told(zoo: ZooHouse):
    found = zoo.txt2img(restore_faces=True)
    assert (picture(found) == picture(zoo.txt2img())).all()
    assert any("'CodeFormer' not found" in text and "Kind faces" in text for text in info(found)["warnings"])
