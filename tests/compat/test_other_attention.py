"""Ways of extensions to compute attention are listed, and put into use while the setting names them."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

from modules.extending.offers import Offers
from tests.compat.zoo_house import ZOO, zoo_house

pytestmark = pytest.mark.slow


def test_ways_of_extensions_are_listed_and_follow_the_setting(tmp_path: Path):
    only = tmp_path / "only"
    only.mkdir()
    (only / "other-attention").symlink_to(ZOO / "other-attention")
    with zoo_house(tmp_path / "zoo", zoo=only) as zoo:
        assert not zoo.loaded.faults
        seen, hijack = sys.modules["other_attention.py"].SEEN, import_module("modules.sd_hijack")
        assert [one.name for one in hijack.optimizers] == ["slow"]
        title = "slow - one after the other"
        assert title in import_module("modules.shared_items").cross_attention_optimizations()
        assert list(zoo.compat.offers(Offers()).attentions()) == [title]
        assert seen == []
        zoo.txt2img(override_settings={"cross_attention_optimization": title})
        assert (seen, hijack.model_hijack.optimization_method) == (["apply"], "slow")
        zoo.txt2img(override_settings={"cross_attention_optimization": title})
        assert seen == ["apply"]
        zoo.txt2img()
        assert seen == ["apply", "undo"]
        assert hijack.model_hijack.apply_optimizations(title) == "slow"
        hijack.undo_optimizations()
        assert seen == ["apply", "undo", "apply", "undo"]
