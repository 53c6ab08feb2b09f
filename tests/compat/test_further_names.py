"""Names that fewer extensions share, and what they do."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from modules.compat.idle import idle_view
from modules.files.layout import Layout


@pytest.fixture
def names(tmp_path: Path) -> Iterator[Any]:
    with idle_view(Layout.of(tmp_path, tmp_path, tmp_path / "models")):
        yield lambda name: importlib.import_module(f"modules.{name}")


def test_conditions_of_unequal_length_are_stacked(names: Any):
    rows = [torch.ones(77, 4), torch.arange(154 * 4.0).reshape(154, 4)]
    stacked = names("prompt_parser").stack_conds(list(rows))
    assert stacked.shape == (2, 154, 4)
    assert torch.equal(stacked[1], rows[1])
    assert torch.equal(stacked[0], torch.ones(154, 4))


def test_restorers_of_faces_are_found_by_name(names: Any):
    class Restorer(names("face_restoration").FaceRestoration):
        def name(self) -> str:
            return "CodeFormer"

        def restore(self, np_image: Any, w: Any = None) -> Any:
            return np_image + 1

    assert (names("codeformer_model").codeformer, names("gfpgan_model").gfpgan_fix_faces(3)) == (None, 3)
    names("shared").face_restorers.append(Restorer())
    assert names("codeformer_model").codeformer.restore(1, w=0.5) == 2


def test_numbers_of_files_are_found(names: Any):
    pattern = names("textual_inversion.dataset").re_numbers_at_start
    assert pattern.sub("", "00012-3-a cat") == "a cat"


def test_a_class_of_the_hijack_may_be_changed(names: Any):
    hijack = names("sd_hijack")
    plain = hijack.StableDiffusionModelHijack.clear_comments
    hijack.StableDiffusionModelHijack.clear_comments = lambda self: "changed"
    try:
        assert hijack.model_hijack.clear_comments() == "changed"
    finally:
        hijack.StableDiffusionModelHijack.clear_comments = plain


def test_hypernetworks_leave_contexts_to_the_layers(names: Any, tmp_path: Path):
    hypernetwork = names("hypernetworks").hypernetwork
    assert hypernetwork.apply_hypernetworks([], 3) == (3, 3)
    (tmp_path / "lines.pt").touch()
    assert hypernetwork.list_hypernetworks(str(tmp_path)) == {"lines": str(tmp_path / "lines.pt")}


def test_conditions_are_joined_cut_and_lengthened(names: Any):
    conds, one, two = names("sd_samplers_cfg_denoiser"), torch.zeros(1, 77, 4), torch.ones(2, 77, 4)
    told = [{"crossattn": value, "vector": value[:, 0]} for value in (one, two)]
    assert torch.equal(conds.catenate_conds([one, two]), torch.cat([one, two]))
    joined = conds.catenate_conds(told)
    assert {name: tuple(value.shape) for name, value in joined.items()} == {"crossattn": (3, 77, 4), "vector": (3, 4)}
    assert torch.equal(conds.subscript_cond(joined, 1, 3)["vector"], two[:, 0])
    assert conds.subscript_cond(two, 0, 1).shape == (1, 77, 4)
    longer = conds.pad_cond(joined, 1, torch.full((1, 77, 4), 5.0))
    assert longer["crossattn"].shape == (3, 154, 4)
    assert torch.equal(longer["crossattn"][:, 77:], torch.full((3, 77, 4), 5.0))
    assert names("processing").txt2img_image_conditioning(None, torch.ones(3, 4, 8, 8), 64, 64).shape == (3, 5, 1, 1)
