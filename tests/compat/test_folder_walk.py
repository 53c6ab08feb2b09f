"""A replaced `img2img.process_batch` stands around runs over folders."""

import sys
from pathlib import Path

import pytest
from PIL import Image

from modules.domain.request import FolderSpec, Generation, InitSpec, SamplingSpec, SeedSpec, Size
from modules.engine.job import Owner
from tests.compat.zoo_house import ZOO, zoo_house

pytestmark = pytest.mark.slow


def test_runs_over_folders_go_through_what_was_replaced(tmp_path: Path):
    only = tmp_path / "only"
    only.mkdir()
    (only / "folder-walk").symlink_to(ZOO / "folder-walk")
    with zoo_house(tmp_path / "zoo", zoo=only) as zoo:
        assert not zoo.loaded.faults
        pictures = tmp_path / "zoo" / "studio" / "pictures"
        pictures.mkdir()
        for name, colour in (("a", "teal"), ("b", "red")):
            Image.new("RGB", (64, 64), colour).save(pictures / f"{name}.png")
        request = Generation(
            prompt="a red circle", size=Size(width=64, height=64), seed=SeedSpec(seed=5),
            sampling=SamplingSpec(sampler="Euler", steps=3), folder=FolderSpec(input=str(pictures), output="made"), init=InitSpec(images=()),
        )  # fmt: skip
        outcome = zoo.services.desk.accept(request, Owner(source="ui"), kind="img2img").wait(60)
        seen = sys.modules["folder_walk.py"].SEEN
        assert seen == [("StableDiffusionProcessingImg2Img", str(pictures), 1.0)]
        assert [(one.name, one.state) for one in outcome.files] == [("a.png", "made"), ("b.png", "made")]
        assert len(outcome.images) == 2
        for one in outcome.images:
            assert one.infotext.startswith("a red circle, from a folder")
            assert "Denoising strength: 0.3" in one.infotext
            assert one.saved_as is not None
            assert one.saved_as.parent.name == "made"
