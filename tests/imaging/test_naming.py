"""File name patterns: every token, what is dropped with it, and that no name leaves its folder."""

from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.domain.errors import PathRefused
from modules.domain.plan import ResolvedModel, TextOptions
from modules.domain.request import BatchSpec, Generation, OutputSpec
from modules.imaging.folders import OutputFolders
from modules.imaging.naming import TOKENS, NameFacts, apply_pattern
from tests.imaging.plans import make_plan

NOW = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


def facts(*, index: int = 0, batch: int = 1, count: int = 1, prompt: str = "a red apple", **changes) -> NameFacts:
    request = Generation(
        prompt="bare", styles=("oil", "dark"), batch=BatchSpec(size=batch), output=OutputSpec(user="ann")
    )
    plan = replace(make_plan(count=count), request=request, created=NOW, **changes)
    image = replace(plan.images[index], prompt=prompt, negative_prompt="rain")
    return NameFacts(plan=plan, image=image, width=64, height=32, pixels_sha256=lambda: "f" * 64, now=NOW)


def hashed(text: str, length: int) -> str:
    return sha256(text.encode()).hexdigest()[:length]


EXPECTED = {
    "[basename]": "img",
    "[seed]": "12345",
    "[seed_first]": "12345",
    "[steps]": "8",
    "[cfg]": "7.0",
    "[width]x[height]": "64x32",
    "[styles]": "oil, dark",
    "[sampler]": "DPM++ 2M",
    "[scheduler]": "Karras",
    "[sampler_scheduler]": "DPM++ 2M Karras",
    "[model_hash]": "8e89532a71",
    "[model_name]": "tiny-v1",
    "[date]": "2024-05-06",
    "[datetime]": "20240506070809",
    "[datetime<%Y-%m>]": "2024-05",
    "[datetime<%H><Asia/Tokyo>]": "16",
    "[datetime<%H><No/Where>]": "07",
    "[datetime<>]": "20240506070809",
    "[datetime<%H:%M>]": "07_08",
    "[job_timestamp]": "20240506070809",
    "[prompt_hash]": hashed("a red apple", 8),
    "[prompt_hash<12>]": hashed("a red apple", 12),
    "[negative_prompt_hash<4>]": hashed("rain", 4),
    "[full_prompt_hash]": hashed("a red apple rain", 8),
    "[prompt]": "a_red_apple",
    "[prompt_spaces]": "a red apple",
    "[prompt_no_styles]": "bare",
    "[prompt_words]": "a red apple",
    "[batch_size]": "1",
    "[hasprompt<red|blue><Green|grey><dog>]": "redgrey",
    "[clip_skip]": "1",
    "[user]": "ann",
    "[vae_filename]": "NoneType",
    "[image_hash]": "f" * 64,
    "[image_hash<3>]": "fff",
    "[none]": "",
    "[SEED]": "12345",
    "[no_such] [seed": "[no_such] [seed",
    "[[model_name]]": "[tiny-v1]",
    "plain": "plain",
}


@pytest.mark.parametrize("pattern", EXPECTED)
def test_tokens(pattern):
    assert apply_pattern(pattern, facts()) == EXPECTED[pattern]


def test_there_are_all_tokens_of_a1111(shared_dir):
    section = (shared_dir / "spec/files.md").read_text().partition("### Tokens")[2].partition("Unknown tokens")[0]
    documented = {name for row in section.splitlines() for name in TOKENS if f"[{name}]" in row or f"[{name}<" in row}
    assert documented == set(TOKENS)


@pytest.mark.parametrize(
    ("pattern", "single", "many"),
    [
        ("[seed]-[seed_last]", "12345", "12345-12348"),
        ("a[batch_number]b", "b", "a1b"),
        ("a[generation_number]b", "b", "a3b"),
        ("a[denoising]b", "b", "b"),
    ],
)
def test_tokens_without_a_value_take_the_text_before_them_along(pattern, single, many):
    assert apply_pattern(pattern, facts()) == single
    several = facts(index=2, batch=2, count=4)
    assert apply_pattern(pattern, replace(several, image=replace(several.image, seed=12345))) == many


def test_names_of_files_come_without_their_extensions():
    model = ResolvedModel(checkpoint=Path("m"), name="m", short_hash=None, vae=Path("v/kl-f8.vae.pt"))
    assert apply_pattern("[vae_filename][model_hash]", facts(model=model, text=TextOptions())) == "kl-f8"


def test_words_are_limited():
    made = replace(facts(prompt="(one:1.2), two <lora:x:1>"), max_words=3)
    assert apply_pattern("[prompt_words]", made) == "one 1 2"
    assert apply_pattern("[prompt_words]", facts(prompt=" ,.")) == "empty"


def test_values_are_cut_and_cleaned():
    assert apply_pattern("[prompt_spaces]", facts(prompt=" ../../a:b|c*" + "x" * 500)) == (".._.._a_b_c_" + "x" * 116)


@settings(max_examples=300, deadline=None)
@given(
    pattern=st.text(st.sampled_from("[]<>%/\\.~ aseedtim:-_\0\n\u202e\ud800"), max_size=40) | st.text(max_size=40),
    prompt=st.text(max_size=40),
)
def test_no_pattern_and_no_prompt_leaves_the_folder(tmp_path_factory, pattern, prompt):
    data = tmp_path_factory.getbasetemp()
    made = apply_pattern(pattern + "[prompt_spaces]", facts(prompt=prompt))
    folder = OutputFolders(data=data).resolve("out", made)
    assert folder.is_relative_to(data.resolve() / "out")


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        ("", "out"),
        ("a/b", "out/a/b"),
        ("../x", "out/x"),
        ("/etc", "out/etc"),
        ("a\\..\\..\\b", "out/a/b"),
        ("con", "out/_con"),
    ],
)
def test_sub_folders(tmp_path, text, folder):
    assert OutputFolders(data=tmp_path).resolve("out", text) == tmp_path / folder


def test_folders_outside_need_permission(tmp_path):
    data, other = tmp_path / "data", tmp_path / "other"
    with pytest.raises(PathRefused, match="--gradio-allowed-path"):
        OutputFolders(data=data).resolve(str(other / "out"))
    with pytest.raises(PathRefused):
        OutputFolders(data=data).resolve("../other")
    assert OutputFolders(data=data, allowed=(other,)).resolve(str(other / "out")) == other / "out"


def test_folders_of_code_take_no_pictures(tmp_path):
    folders = OutputFolders(data=tmp_path, forbidden=(tmp_path / "scripts",))
    with pytest.raises(PathRefused, match="code"):
        folders.resolve("outputs/../scripts", "a")


def test_a_link_does_not_lead_out(tmp_path):
    (tmp_path / "data/out").mkdir(parents=True)
    (tmp_path / "data/out/link").symlink_to(tmp_path)
    with pytest.raises(PathRefused):
        OutputFolders(data=tmp_path / "data").resolve("out", "link/x")


def test_tokens_take_linear_time():
    pattern = "[" * 5000 + "seed<" * 1000 + ">" * 1000 + "]" * 5000
    assert apply_pattern(pattern, facts())
