"""Whole runs with LoRAs, embeddings and hypernetworks on narrow networks in the real layout."""

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from modules.domain.events import Noted
from modules.domain.plan import LoraUse, Networks
from modules.domain.request import (
    BatchSpec,
    Generation,
    HiresSpec,
    ModelChoice,
    RefinerSpec,
    SamplingSpec,
    SeedSpec,
    Size,
)
from modules.domain.result import Outcome
from modules.families.openclip import OpenClipConfig
from modules.families.sd1.keys import TextConfig
from modules.families.sdxl.text import TextEncoders
from modules.hooks.cancel import CancelReason, CancelToken
from modules.hooks.dispatch import Handler, Hooks
from modules.hooks.points import AfterStep
from modules.library.hashes import file_sha256
from modules.pipeline.networks import NetworkShelf, batch_networks
from modules.residency.device import Offload
from modules.settings.sections import ExtraNetworks
from tests.families.narrow_files import CONFIG, tensors_of, unet_sizes
from tests.pipeline.narrow import make_narrow_checkpoint
from tests.pipeline.workshop import Studio, open_studio

PLAIN = Generation(
    prompt="a red circle",
    size=Size(width=64, height=48),
    seed=SeedSpec(seed=7),
    sampling=SamplingSpec(sampler="Euler", steps=3),
    model=ModelChoice(checkpoint="narrow"),
)
UNET, TEXT = "model.diffusion_model.", "cond_stage_model."


def make_lora(path: Path, checkpoint: Path, *, seed: int, text: bool = True, unet: bool = True, rank: int = 2) -> None:
    """Write a LoRA for the attentions of a checkpoint's UNet and for its text encoder."""
    generator, made = torch.Generator().manual_seed(seed), dict[str, Tensor]()
    for name, weight in load_file(checkpoint).items():
        if not name.endswith(".weight") or weight.ndim != 2:
            continue
        stem = name.removesuffix(".weight")
        if unet and name.startswith(UNET) and ".attn" in name:
            stem = f"diffusion_model.{stem.removeprefix(UNET)}"
        elif text and name.startswith(TEXT) and ".layers." in name:
            stem = "lora_te_" + stem.removeprefix(f"{TEXT}transformer.").replace(".", "_")
        else:
            continue
        made[f"{stem}.lora_down.weight"] = torch.randn(rank, weight.shape[1], generator=generator)
        made[f"{stem}.lora_up.weight"] = 0.2 * torch.randn(weight.shape[0], rank, generator=generator)
    path.parent.mkdir(exist_ok=True)
    save_file(made, path, {"ss_output_name": f"alias of {path.stem}"})


def make_hypernetwork(path: Path, *widths: int) -> None:
    generator = torch.Generator().manual_seed(3)

    def net(width: int) -> dict[str, Tensor]:
        return {
            f"linear.{i}.{kind}": torch.randn(shape, generator=generator)
            for i in range(2)
            for kind, shape in (("weight", (width, width)), ("bias", (width,)))
        }

    path.parent.mkdir(exist_ok=True)
    torch.save({width: (net(width), net(width)) for width in widths}, path)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    data = tmp_path_factory.mktemp("data")
    opened = open_studio(data)
    checkpoint = make_narrow_checkpoint(opened.models / "narrow.safetensors")
    make_narrow_checkpoint(opened.models / "other.safetensors", seed=1)
    large = OpenClipConfig(width=24, layers=2, heads=4, mlp_width=48, projection=20)
    encoders = TextEncoders(TextConfig(width=16, layers=2, heads=4, mlp_width=32), large)
    tensors = tensors_of("conditioner.", encoders, unet_sizes(context_dim=40, vector_dim=20 + 6 * 256))
    save_file({key: value.contiguous() for key, value in tensors.items()}, opened.models / "xl.safetensors")
    (opened.models / "xl.yaml").write_text(json.dumps(CONFIG))
    make_lora(data / "Lora" / "one.safetensors", checkpoint, seed=1)
    make_lora(data / "Lora" / "two.safetensors", checkpoint, seed=2)
    make_lora(data / "Lora" / "text.safetensors", checkpoint, seed=1, unet=False)
    down, up = torch.ones(2, 40), torch.ones(16, 2)
    flux = "lora_unet_double_blocks_0_img_attn_proj"
    save_file({f"{flux}.lora_down.weight": down, f"{flux}.lora_up.weight": up}, data / "Lora" / "flux.safetensors")
    (data / "Lora" / "broken.safetensors").write_bytes(b"no")
    with_word = load_file(data / "Lora" / "text.safetensors")
    with_word["bundle_emb.inner.string_to_param.*"] = torch.randn(2, 24, generator=torch.Generator().manual_seed(5))
    save_file(with_word, data / "Lora" / "bundle.safetensors")
    (data / "embeddings").mkdir()
    vectors = torch.randn(3, 24, generator=torch.Generator().manual_seed(4))
    save_file({"emb_params": vectors}, data / "embeddings" / "zword.safetensors")
    save_file({"emb_params": vectors[:, :16].contiguous()}, data / "embeddings" / "narrower.safetensors")
    pair = {"clip_l": vectors[:, :16].contiguous(), "clip_g": vectors}
    save_file(pair, data / "embeddings" / "zpair.safetensors")
    make_hypernetwork(data / "hypernetworks" / "hyper.pt", 24, 16)
    opened.shop.shelf().catalog.refresh()
    return opened


@pytest.fixture(scope="module")
def plain(studio: Studio) -> bytes:
    return pixels(studio.make(PLAIN))


@pytest.fixture(autouse=True)
def _clean(studio: Studio, plain: bytes) -> Iterator[None]:
    """Whatever a test does, the next picture without networks is the same bit for bit."""
    yield
    assert pixels(studio.make(PLAIN)) == plain


def pixels(made: Outcome, index: int = 0) -> bytes:
    return Image.open(io.BytesIO(made.images[index].data)).tobytes()


def asked(prompt: str, **more: Any) -> Generation:
    return replace(PLAIN, prompt=prompt, **more)


def infotext(made: Outcome) -> str:
    return made.images[0].infotext


def notes(studio: Studio) -> list[str]:
    return [event.text for event in studio.told(Noted)]


def test_a_lora_changes_the_picture_and_is_told(studio: Studio, plain: bytes) -> None:
    made = studio.make(asked("a red circle<lora:one:1>"))
    assert pixels(made) != plain
    digest = studio.shop.shelf().hashes
    assert digest is not None
    path = studio.models.parent / "Lora" / "one.safetensors"
    assert f'Lora hashes: "one: {digest.lora_hash(path, {})}"' in infotext(made)
    assert infotext(made).startswith("a red circle<lora:one:1>\n")
    assert notes(studio) == []


def test_strength_zero_is_no_lora(studio: Studio, plain: bytes) -> None:
    assert pixels(studio.make(asked("a red circle<lora:one:0>"))) == plain
    assert pixels(studio.make(asked("a red circle<lyco:one:te=0:unet=0>"))) == plain


def test_strengths_of_text_and_unet(studio: Studio, plain: bytes) -> None:
    both = pixels(studio.make(asked("a red circle<lora:one:0.5>")))
    text = pixels(studio.make(asked("a red circle<lora:one:0.5:0>")))
    unet = pixels(studio.make(asked("a red circle<lora:one:te=0:unet=0.5>")))
    assert len({plain, both, text, unet}) == 4
    assert pixels(studio.make(asked("a red circle<lora:one:1:unet=0.5:te=0.5>"))) == both
    assert pixels(studio.make(asked("a red circle<lora:text:0.5>"))) == text
    assert pixels(studio.make(asked("a red circle<lora:one:0.5:0.5:2>"))) == both
    assert pixels(studio.make(asked("a red circle<lora:one:0.5:dyn=1>"))) != both


def test_two_loras_together(studio: Studio) -> None:
    first = pixels(studio.make(asked("a red circle<lora:one:1><lora:two:0.5>")))
    assert pixels(studio.make(asked("a red circle<lora:one:1>"))) != first
    assert pixels(studio.make(asked("a red circle<lora:one:1><lora:two:0.5>"))) == first


def test_every_mention_counts_with_the_last_strength(studio: Studio) -> None:
    twice = pixels(studio.make(asked("a red circle<lora:one:9><lora:one:0.5>")))
    assert twice == pixels(studio.make(asked("a red circle<lora:one:0.5><lora:one:0.5>")))
    assert twice != pixels(studio.make(asked("a red circle<lora:one:0.5>")))


@pytest.mark.parametrize("name", ["alias of one", "one"])
def test_names_and_aliases(studio: Studio, name: str) -> None:
    assert pixels(studio.make(asked(f"a red circle<lora:{name}>"))) == pixels(
        studio.make(asked("a red circle<lora:one:1>"))
    )


@pytest.mark.parametrize(
    ("tag", "note"),
    [
        ("<lora:nowhere:1><lora:../../x:1>", "Lora not found: nowhere, ../../x"),
        ("<lora:one:much>", "<lora:one> is ignored: 'much' is no number"),
        ("<lora:one:nan>", "<lora:one> is ignored: 'nan' is no number"),
        ("<lora:one:1:1:-2>", "<lora:one> is ignored: '-2' is no number of ranks"),
        ("<lora:broken:1>", "Lora broken could not be used: broken.safetensors: "),
        ("<lora:flux:1>", "Lora flux is made for FLUX and changes nothing in a Stable Diffusion 1 model"),
        ("<hypernet:nowhere:1>", "Hypernetwork not found: nowhere"),
        ("<hypernet:hyper:x>", "<hypernet:hyper> is ignored: 'x' is no number"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_told_and_left_out(studio: Studio, plain: bytes, tag: str, note: str) -> None:
    made = studio.make(asked(f"a red circle{tag}"))
    assert pixels(made) == plain
    (told,) = notes(studio)
    assert told.startswith(note)


def test_what_is_missing_is_logged_if_wanted(studio: Studio, caplog: pytest.LogCaptureFixture) -> None:
    studio.make(asked("a<lora:nowhere>"))
    assert "nowhere" not in caplog.text
    studio.make(asked("a<lora:nowhere>"), lora_not_found_warning_console=True)
    assert "Lora not found: nowhere" in caplog.text


def test_a_lora_of_another_lineage_is_told(studio: Studio) -> None:
    xl = replace(PLAIN, model=ModelChoice(checkpoint="xl"))
    without = pixels(studio.make(xl))
    assert pixels(studio.make(replace(xl, prompt="a red circle<lora:flux>"))) == without
    assert notes(studio) == ["Lora flux is made for FLUX and changes nothing in a Stable Diffusion XL model"]
    studio.make(replace(xl, prompt="a red circle<lora:one>"))
    (note,) = notes(studio)
    assert "do not fit this model" in note or "changes nothing" in note


def test_tags_are_only_cut_out_where_networks_are_off(studio: Studio, plain: bytes) -> None:
    made = studio.make(asked("a red circle<lora:one:1>", extra_networks=False))
    assert pixels(made) == plain
    assert "Lora hashes" not in infotext(made)


def test_tags_in_the_negative_prompt_are_text(studio: Studio) -> None:
    made = studio.make(replace(PLAIN, negative_prompt="bad <lora:one:1>"))
    assert "Lora hashes" not in infotext(made)


def test_a_setting_appends_a_tag(studio: Studio) -> None:
    wanted = studio.make(asked("a red circle<lora:one:0.7>"))
    made = studio.make(PLAIN, sd_lora="one", extra_networks_default_multiplier=0.7)
    assert pixels(made) == pixels(wanted)
    assert infotext(made).startswith("a red circle<lora:one:0.7>\n")
    mentioned = studio.make(asked("a red circle<lora:one:0.7>"), sd_lora="one", sd_hypernetwork="hyper")
    assert infotext(mentioned).startswith("a red circle<lora:one:0.7><hypernet:hyper:1.0>\n")


def test_each_batch_takes_the_tags_of_its_first_prompt(studio: Studio) -> None:
    prompts = ("a red circle<lora:one:1>", "a red circle", "a red circle", "a red circle<lora:one:1>")
    four = studio.make(replace(PLAIN, prompt=prompts, batch=BatchSpec(size=2, count=2)))
    assert "Lora hashes" in four.images[1].infotext
    assert "Lora hashes" not in four.images[3].infotext
    same = studio.make(replace(PLAIN, prompt=prompts[:1] * 2, seed=SeedSpec(seed=7), batch=BatchSpec(size=2)))
    assert pixels(four, 1) == pixels(same, 1)


def test_the_hires_pass_has_networks_of_its_own(studio: Studio) -> None:
    hires = HiresSpec(scale=1.5, denoising_strength=0.6)
    both = studio.make(replace(PLAIN, prompt="a red circle<lora:one:1>", hires=hires))
    second = replace(hires, prompt="a red circle<lora:two:1>")
    made = studio.make(replace(PLAIN, prompt="a red circle<lora:one:1>", hires=second))
    assert pixels(made) != pixels(both)
    assert infotext(made).count("Lora hashes") == 1
    assert "one: " in infotext(made).split("Lora hashes")[1]
    assert "two: " in infotext(made).split("Lora hashes")[1]
    only_second = studio.make(replace(PLAIN, hires=second))
    none = studio.make(replace(PLAIN, hires=hires))
    assert len({pixels(made), pixels(only_second), pixels(none)}) == 3


def test_a_refiner_wears_them_too(studio: Studio) -> None:
    refined = replace(PLAIN, refiner=RefinerSpec(checkpoint="other", switch_at=0.3))
    without = pixels(studio.make(refined))
    assert pixels(studio.make(replace(refined, prompt="a red circle<lora:one:1>"))) != without
    assert pixels(studio.make(refined)) == without


def test_an_embedding_is_read_by_its_name(studio: Studio) -> None:
    made = studio.make(asked("a Zword circle"))
    digest = (file_sha256(studio.models.parent / "embeddings" / "zword.safetensors") or "")[:12]
    assert f'TI hashes: "zword: {digest}"' in infotext(made)
    assert pixels(made) != pixels(studio.make(asked("a zoord circle")))
    assert "TI hashes" not in infotext(studio.make(asked("a narrower circle zpair")))
    weighted = studio.make(asked("a (zword:1.4) circle"))
    assert pixels(weighted) != pixels(made)
    negative = studio.make(replace(PLAIN, negative_prompt="zword"))
    assert "TI hashes" in infotext(negative)
    assert "TI hashes" not in infotext(studio.make(asked("zword"), textual_inversion_add_hashes_to_infotext=False))


def test_an_embedding_for_both_text_encoders(studio: Studio) -> None:
    xl = replace(PLAIN, model=ModelChoice(checkpoint="xl"))
    made = studio.make(replace(xl, prompt="a zpair circle"))
    assert 'TI hashes: "zpair: ' in infotext(made)
    assert pixels(made) != pixels(studio.make(replace(xl, prompt="a zoord circle")))
    assert "TI hashes" not in infotext(studio.make(replace(xl, prompt="a zword circle")))


def test_an_embedding_inside_of_a_lora_is_there_with_it(studio: Studio) -> None:
    made = studio.make(asked("an inner circle<lora:bundle:0>"))
    assert 'TI hashes: "inner: ' in infotext(made)
    assert "TI hashes" not in infotext(studio.make(asked("an inner circle")))
    assert "TI hashes" not in infotext(
        studio.make(asked("an inner circle<lora:bundle:0>"), lora_bundled_ti_to_infotext=False)
    )


def test_a_new_embedding_is_found_at_once(studio: Studio) -> None:
    path = studio.models.parent / "embeddings" / "qfresh.safetensors"
    save_file({"emb_params": torch.ones(1, 24)}, path)
    first = studio.make(asked("qfresh"))
    save_file({"emb_params": torch.ones(2, 24)}, path)
    second = studio.make(asked("qfresh"))
    path.unlink()
    gone = studio.make(asked("qfresh"))
    assert len({pixels(first), pixels(second), pixels(gone)}) == 3
    assert "TI hashes" not in infotext(gone)


def test_a_changed_lora_is_read_again(studio: Studio) -> None:
    path, checkpoint = studio.models.parent / "Lora" / "fresh.safetensors", studio.models / "narrow.safetensors"
    make_lora(path, checkpoint, seed=8)
    first = pixels(studio.make(asked("a<lora:fresh>"), lora_in_memory_limit=5))
    make_lora(path, checkpoint, seed=9, rank=3)
    second = pixels(studio.make(asked("a<lora:fresh>"), lora_in_memory_limit=5))
    assert first != second


def test_a_hypernetwork_changes_the_picture(studio: Studio, plain: bytes) -> None:
    whole = pixels(studio.make(asked("a red circle<hypernet:hyper>")))
    half = pixels(studio.make(asked("a red circle<hypernet:hyper:0.5>")))
    assert len({plain, whole, half}) == 3
    assert pixels(studio.make(asked("a red circle<hypernet:hyper:0>"))) == plain


def test_an_interrupted_run_leaves_nothing_behind(studio: Studio) -> None:
    cancel = CancelToken()

    def stop(payload: AfterStep) -> AfterStep:
        cancel.set(CancelReason.INTERRUPT)
        return payload

    hooks = Hooks([Handler(name="stops", hook=AfterStep, call=stop)])
    assert studio.make(asked("a red circle<lora:one:1><hypernet:hyper>"), cancel=cancel, hooks=hooks).interrupted


def test_a_failing_run_leaves_nothing_behind(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("modules.nn.patches.worn.merged", _failing_after(3))
        with pytest.raises(RuntimeError, match="the fourth"):
            studio.make(asked("a red circle<lora:one:1>"))


def _failing_after(count: int) -> Any:
    from modules.nn.patches.merge import merged

    calls: list[int] = []

    def fail(*args: Any, **more: Any) -> Tensor:
        calls.append(1)
        if len(calls) > count:
            raise RuntimeError("the fourth")
        return merged(*args, **more)

    return fail


@pytest.mark.parametrize("offload", [Offload.COMPONENTS, Offload.BLOCKS])
def test_networks_that_come_to_the_device_in_parts(
    studio: Studio, offload: Offload, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = "a red zword<lora:one:1><hypernet:hyper>"
    wanted = pixels(studio.make(asked(prompt)))
    with studio.shop.pool.lease(*_files(studio)) as model:
        placement = model.placement
    monkeypatch.setattr(type(placement), "offload", property(lambda _self: offload, lambda _self, _value: None))
    assert pixels(studio.make(asked(prompt))) == wanted


def _files(studio: Studio) -> tuple[Any, Any]:
    from modules.nn.attention.plain import PLAIN as ATTENTION
    from modules.pipeline.plan import resolve_model
    from modules.settings.snapshot import Snapshot

    return resolve_model(PLAIN, Snapshot(), studio.shop.shelf())[0], ATTENTION


def test_a_model_that_leaves_the_device_takes_its_own_weights(studio: Studio) -> None:
    studio.make(asked("a red circle<lora:one:1>"))
    with studio.shop.pool.lease(*_files(studio)) as model:
        worn = model.worn
        dressed = {name: value.clone() for name, value in model.components.unet.named_parameters()}
        worn.take_off()
        bare = dict(model.components.unet.named_parameters())
        assert any(not value.equal(dressed[name]) for name, value in bare.items())
    stored = load_file(studio.models / "narrow.safetensors")
    assert all(value.equal(stored[UNET + name]) for name, value in bare.items())


def test_only_differing_layers_are_merged_anew(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    from modules.nn.patches.merge import merged

    calls: list[int] = []

    def count(*args: Any, **more: Any) -> Tensor:
        calls.append(1)
        return merged(*args, **more)

    monkeypatch.setattr("modules.nn.patches.worn.merged", count)
    studio.make(asked("a<lora:one:1>"))
    first = len(calls)
    studio.make(asked("b<lora:one:1>"))
    assert len(calls) == first > 0
    studio.make(asked("b<lora:one:1:0.5>"))
    changed = len(calls) - first
    assert 0 < changed < first  # those of the text encoder stay


def test_the_plan_names_the_networks(studio: Studio) -> None:
    shelf = studio.shop.shelf()
    plan = studio.make(asked("a<lora:one:0.5><lora:one:0.25:1><hypernet:hyper:2>")).plan
    networks = plan.networks_of(0).first
    assert [(use.name, use.text, use.unet) for use in networks.loras] == [("one", 0.25, 1.0)] * 2
    assert [(use.name, use.strength) for use in networks.hypernetworks] == [("hyper", 2.0)]
    found, told = batch_networks(
        plan.images, PLAIN, ExtraNetworks(), NetworkShelf(loras=shelf.loras, hypernetworks=shelf.hypernetworks)
    )
    assert found[0].first == networks
    assert told == []
    assert found[0].second == Networks()
    assert isinstance(networks.loras[0], LoraUse)


def test_a_batch_is_its_pictures_alone(studio: Studio) -> None:
    """Networks do not make a picture depend on its neighbours."""
    both = studio.make(replace(PLAIN, prompt="a zword<lora:one:1>", batch=BatchSpec(size=2)))
    alone = studio.make(replace(PLAIN, prompt="a zword<lora:one:1>", seed=SeedSpec(seed=8)))
    difference = _difference(pixels(both, 1), pixels(alone))
    assert difference <= 1


def _difference(ours: Sequence[int], wanted: Sequence[int]) -> int:
    return max(abs(a - b) for a, b in zip(ours, wanted, strict=True))
