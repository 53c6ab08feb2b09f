"""The parameters text: writing, reading, and reading back what was written."""

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.domain.errors import LimitExceeded
from modules.domain.plan import NoiseOptions, Plan, ResolvedModel, SamplerOptions, TextOptions
from modules.domain.request import Generation, OutputSpec, SeedSpec
from modules.imaging.infotext import compose, infotext, quote
from modules.imaging.infotext_parse import MAX_CHARS, parameter_entries, parse_infotext
from modules.imaging.infotext_styles import extract_styles
from modules.settings.sections import Infotext
from tests.imaging.plans import make_plan


def text_of(plan: Plan, options: Infotext | None = None, **changes) -> str:
    return infotext(plan, replace(plan.images[0], **changes), options or Infotext(), version="v1.10.1")


def test_core_keys_in_their_order():
    assert text_of(make_plan()) == (
        "a (red:1.3) apple\nSteps: 8, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.0, Seed: 12345, "
        "Size: 128x96, Model hash: 8e89532a71, Model: tiny-v1, Version: v1.10.1"
    )


def test_every_other_key_at_its_place():
    plan = make_plan(
        request=Generation(
            seed=SeedSpec(subseed_strength=0.3, resize_from_width=64, resize_from_height=32),
            output=OutputSpec(user="ann"),
        ),
        model=ResolvedModel(
            checkpoint=Path("m.ckpt"), name="m", short_hash=None, vae=Path("v/x.vae.pt"), vae_hash="0123456789"
        ),
        text=TextOptions(clip_skip=2),
        noise=NoiseOptions(source="NV", eta_seed_delta=31337),
        tiling=True,
        infotext_extra={"Eta": 0.5, "TI hashes": "a: 1, b: 2"},
    )
    options = Infotext(add_user_name_to_info=True)
    assert text_of(plan, options, negative_prompt="rain\nfog").split("\n")[1:] == [
        "Negative prompt: rain",
        "fog",
        "Steps: 8, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.0, Seed: 12345, Size: 128x96, Model: m, "
        "VAE hash: 0123456789, VAE: x.vae.pt, Variation seed: 777, Variation seed strength: 0.3, "
        "Seed resize from: 64x32, Clip skip: 2, ENSD: 31337, RNG: NV, Tiling: True, Eta: 0.5, "
        'TI hashes: "a: 1, b: 2", Version: v1.10.1, User: ann',
    ]


def test_options_take_keys_away():
    options = Infotext(add_model_hash_to_info=False, add_model_name_to_info=False, add_version_to_infotext=False)
    assert text_of(make_plan(), options).endswith("Size: 128x96")


def test_ensd_needs_a_sampler_that_draws_noise():
    noise = NoiseOptions(eta_seed_delta=31337)
    plain = make_plan(noise=noise)
    assert "ENSD" in text_of(plain)
    assert "ENSD" not in text_of(replace(plain, sampler=SamplerOptions(eta=0.0)))
    assert "ENSD" not in text_of(replace(plain, main=replace(plain.main, uses_ensd=False)))


def test_an_extra_key_replaces_a_core_one_in_place():
    assert ", Sampler: Mine, Schedule" in text_of(make_plan(infotext_extra={"Sampler": "Mine"}))


def test_a_value_that_repeats_its_key_is_written_once():
    assert compose("p", "", {"Steps": 1, "Flag": "Flag", "None": None, "Zero": 0, "Empty": ""}) == (
        "p\nSteps: 1, Flag, Zero: 0, Empty:"
    )


@pytest.mark.parametrize(("value", "text"), [("a b", "a b"), ("a, é", '"a, é"'), ("x: \\", '"x: \\\\"'), (7.0, "7.0")])
def test_quoting(value, text):
    assert quote(value) == text


def test_reader_agrees_with_the_original(shared_dir):
    cases = json.loads((shared_dir / "golden/internals/infotext_parse.json").read_text())
    for text, expected in cases.items():
        assert parse_infotext(text) == expected


def test_recorded_texts_survive_reading_and_writing(shared_dir):
    texts = set()
    for file in sorted((shared_dir / "golden/recordings").glob("0[1-8]*/*.response.json")):
        texts.update(json.loads(file.read_text())["json"]["info"]["infotexts"])
    assert len(texts) > 100
    for text in texts:
        entries = list(parameter_entries(text.rpartition("\n")[2]))
        found = parse_infotext(text)
        assert compose(found["Prompt"], found["Negative prompt"], dict(entries)) == text


words = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=40)
keys = st.from_regex(r"[A-Za-z][A-Za-z0-9 /-]{0,20}[A-Za-z0-9]", fullmatch=True)
values = words.map(str.strip).filter(lambda text: text[:1] != '"')


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(keys, values, min_size=3, max_size=8), words.map(str.strip), words.map(str.strip))
def test_what_is_written_is_read_back(entries, prompt, negative):
    entries = {key: value for key, value in entries.items() if key != value}
    line = compose(prompt, negative, {"Steps": 1, "Sampler": "x", "CFG scale": 1, **entries, "End": "x"})
    found = dict(parameter_entries(line.rpartition("\n")[2]))
    assert found == {"Steps": "1", "Sampler": "x", "CFG scale": "1", **entries, "End": "x"}


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300))
def test_any_text_can_be_read(text):
    found = parse_infotext(text)
    assert isinstance(found["Prompt"], str)
    json.dumps(found)


@pytest.mark.parametrize(
    "unit",
    ["a", "ab: ", 'ab: "', 'ab: "\\', "a: b, ", " - ", "\\", '""', "\nNegative prompt: ", "[", "a:b,", '"\\"', "\n"],
)
def test_reading_takes_linear_time(unit):
    def seconds(length: int) -> float:
        text = "Steps: 1, Sampler: a, CFG scale: 2, " + (unit * length)[:length]
        start = time.perf_counter()
        parse_infotext(text)
        return time.perf_counter() - start

    assert min(seconds(90_000) for _ in range(3)) < 1.0


def test_a_text_beyond_the_limit_is_refused():
    with pytest.raises(LimitExceeded):
        parse_infotext("x" * (MAX_CHARS + 1))


def test_fewer_than_three_entries_are_prompt():
    assert parse_infotext("a cat, mood: dark, time: night")["Prompt"] == "a cat, mood: dark, time: night"


def test_a_lone_surrogate_stays_escaped():
    found = parse_infotext('p\nSteps: 1, Sampler: x, Note: "a, \\ud800"')
    json.dumps(found).encode()
    assert found["Note"] == '"a, \\ud800"'


def test_huge_sizes_stay_text():
    found = parse_infotext("p\nSteps: 1, Sampler: x, Size: 512x512, First pass size: " + "9" * 6000 + "x0")
    assert found["Size-1"] == "512"


def test_an_unknown_first_pass_size_is_worked_out():
    found = parse_infotext("p\nSteps: 1, Sampler: x, Size: 1024x512, First pass size: 0x0")
    assert [found[key] for key in ("Size-1", "Size-2", "Hires resize-1", "Hires resize-2")] == [768, 384, 1024, 512]


@pytest.mark.parametrize(
    ("version", "rest", "key"),
    [
        ("v1.5.2", "Sampler: DDIM", "Pad conds v0"),
        ("v1.5.2", "Sampler: Euler", "Old prompt editing timelines"),
        ("v1.7.0", "Sampler: Euler", "Downcast alphas_cumprod"),
        ("v1.7.0-224-gabcdef", "Sampler: Euler", "Downcast alphas_cumprod"),
    ],
)
def test_old_versions_bring_their_behaviour(version, rest, key):
    text = f"[a:b:3]\nSteps: 1, {rest}, Seed: 1, Version: {version}"
    assert parse_infotext(text)[key] is True
    assert key not in parse_infotext(text, backcompat=False)


@pytest.mark.parametrize("version", ["v1.7.0-225-gabcdef", "v1.10.1", "f2.0.1v1.10.1", "0.1.0", "v1.9999999999", ""])
def test_newer_and_foreign_versions_change_nothing(version):
    found = parse_infotext(f"[a:b:3]\nSteps: 1, Sampler: DDIM, Seed: 1, Version: {version}")
    assert not {"Downcast alphas_cumprod", "Pad conds v0", "Old prompt editing timelines"} & set(found)


def test_an_old_refiner_switched_by_steps():
    text = "p\nSteps: 1, Sampler: x, Refiner: r, Version: v1.7.0-300"
    assert parse_infotext(text)["Refiner switch by sampling steps"] is True


def test_emphasis_has_a_default_only_where_it_is_used():
    assert parse_infotext("(p)")["Emphasis"] == "Original"
    assert "Emphasis" not in parse_infotext("p")


def test_fp8_brings_its_companion():
    text = "p\nSteps: 1, Sampler: x, Seed: 1, FP8 weight: Enable"
    assert parse_infotext(text)["Cache FP16 weight for LoRA"] is False


def test_keys_can_be_skipped():
    text = "p\nSteps: 1, Sampler: x, Seed: 1"
    assert "Seed" not in parse_infotext(text, skip=["Seed", "No such"])


def test_templates_of_old_dynamic_prompts_are_cut():
    found = parse_infotext(
        "p\nTemplate: {a|b}\nmore\nNegative prompt: n\nNegative Template: m\nSteps: 1, Seed: 1, Size: 1x1"
    )
    assert (found["Prompt"], found["Negative prompt"]) == ("p", "n")


@dataclass(frozen=True)
class Style:
    name: str
    prompt: str
    negative_prompt: str


STYLES = (Style("oil", "oil painting", "photo"), Style("wrap", "a {prompt} b", ""), Style("empty", "", ""))
LINE = "\nSteps: 1, Sampler: x, Seed: 1"


@pytest.mark.parametrize(
    ("mode", "prompt", "array"),
    [
        ("Ignore", "a cat b, oil painting", None),
        ("Apply", "cat", ["wrap", "oil"]),
        ("Discard", "cat", None),
        ("Apply if any", "cat", ["wrap", "oil"]),
    ],
)
def test_styles_are_recognised(mode, prompt, array):
    text = f"a cat b, oil painting\nNegative prompt: rain, photo{LINE}"
    found = parse_infotext(text, styles=STYLES, styles_mode=mode)
    assert (found["Prompt"], found.get("Styles array")) == (prompt, array)


@pytest.mark.parametrize(("mode", "array"), [("Apply", []), ("Apply if any", None)])
def test_texts_without_styles(mode, array):
    assert parse_infotext(f"cat{LINE}", styles=STYLES, styles_mode=mode).get("Styles array") == array


def test_a_style_needs_both_of_its_texts():
    assert extract_styles("cat, oil painting", "rain", STYLES) == ([], "cat, oil painting", "rain")


def test_hires_prompts_must_hold_the_same_styles():
    text = f'a cat b{LINE}, Hires prompt: "a dog b"'
    found = parse_infotext(text, styles=STYLES)
    assert (found["Prompt"], found["Hires prompt"], found["Styles array"]) == ("cat", "dog", ["wrap"])
    other = parse_infotext(text.replace("a dog b", "dog"), styles=STYLES)
    assert (other["Prompt"], "Styles array" in other) == ("a cat b", False)
