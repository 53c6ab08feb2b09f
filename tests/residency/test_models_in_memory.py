"""Models are loaded once, kept, moved, and given back as they were."""

import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from modules.domain.errors import BrokenFile, NumericalFault, OutOfMemory
from modules.domain.plan import ResolvedModel, TextOptions
from modules.families import identify, identify_files
from modules.families.family import Build, Components, Files, Match
from modules.families.toy.checkpoint import make_toy_checkpoint
from modules.families.toy.family import TOY
from modules.library.header import read_header
from modules.nn.attention.plain import PLAIN
from modules.nn.attention.sdpa import SDPA
from modules.nn.ops import PLAIN_OPS
from modules.pipeline.precision import vae_fallback
from modules.residency.device import DevicePolicy, Offload
from modules.residency.model import COND_CACHE_ENTRIES, Model
from modules.residency.placing import Placement
from modules.residency.pool import Pool
from modules.residency.streaming import outer_blocks
from modules.sampling.types import Conditioning
from modules.settings.snapshot import Snapshot

FULL, HALF, META = torch.float32, torch.float16, torch.device("meta")
OPTIONS = TextOptions()


def policy(offload: Offload = Offload.NONE, device: str = "cpu", vae: torch.dtype = FULL) -> DevicePolicy:
    place = torch.device(device)
    return DevicePolicy(device=place, dtype=FULL, text_dtype=FULL, vae_dtype=vae, offload=offload)


def silent(text: str) -> None:
    """Take a note and forget it."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_toy_checkpoint(tmp_path / "toy.safetensors")


def wanted(path: Path, vae: Path | None = None) -> ResolvedModel:
    return ResolvedModel(checkpoint=path, name=path.stem, short_hash=None, vae=vae, vae_hash=None)


class Shelf:
    """A pool that counts what it loads."""

    def __init__(self, **more: object) -> None:
        self.loads: list[str] = []
        self.pool = Pool(policy(**more), self.find, PLAIN_OPS)  # pyright: ignore[reportArgumentType]
        self.load: Callable[[Files, Match, Build], Components] = TOY.load

    def find(self, files: Files) -> tuple[object, Match]:
        _, match = identify_files(files)
        return Counting(self), match

    def lease(self, path: Path, vae: Path | None = None, attention: object = PLAIN) -> Model:
        with self.pool.lease(wanted(path, vae), attention) as model:  # pyright: ignore[reportArgumentType]
            return model


class Counting:
    """The toy family, with its loads counted."""

    label = "Toy"

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def load(self, files: Files, match: Match, build: Build) -> Components:
        self._shelf.loads.append(files.checkpoint.name)
        return self._shelf.load(files, match, build)

    def load_vae(self, files: Files, match: Match, build: Build) -> nn.Module:
        self._shelf.loads.append(f"VAE of {(files.vae or files.checkpoint).name}")
        return TOY.load_vae(files, match, build)


def test_the_same_files_give_the_same_model(path: Path) -> None:
    shelf = Shelf()
    assert shelf.lease(path) is shelf.lease(path)
    assert shelf.loads == ["toy.safetensors"]
    assert shelf.pool.loaded == wanted(path)


def test_another_attention_or_vae_or_yaml_is_another_model(path: Path, tmp_path: Path) -> None:
    shelf, other = Shelf(), make_toy_checkpoint(tmp_path / "other.safetensors", 1)
    first = shelf.lease(path)
    assert shelf.lease(path, attention=SDPA) is not first
    second = shelf.lease(path, vae=other, attention=SDPA)
    assert second is not first
    path.with_suffix(".yaml").write_text("model: {params: {parameterization: v}}", encoding="utf-8")
    model = shelf.lease(path, vae=other, attention=SDPA)
    assert model.components.match.prediction == "v"
    assert shelf.loads == ["toy.safetensors", "toy.safetensors", "VAE of other.safetensors", "toy.safetensors"]


def test_a_replaced_file_is_loaded_anew(path: Path, tmp_path: Path) -> None:
    shelf = Shelf()
    before = shelf.lease(path).components.unet.get_parameter("conv_in.weight").clone()
    times = path.stat()
    make_toy_checkpoint(tmp_path / "next", 1).replace(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not torch.equal(shelf.lease(path).components.unet.get_parameter("conv_in.weight"), before)


def test_a_load_that_fails_leaves_the_model_in_memory(path: Path, tmp_path: Path) -> None:
    shelf, broken = Shelf(), tmp_path / "broken.safetensors"
    model = shelf.lease(path)
    broken.write_bytes(path.read_bytes()[:-50])
    for file, reason in ((broken, "broken.safetensors"), (tmp_path / "gone.safetensors", "gone.safetensors")):
        with pytest.raises(BrokenFile, match=reason):
            shelf.lease(file)
    assert shelf.lease(path) is model


def test_the_last_model_leaves_when_there_is_no_room_for_two(path: Path, tmp_path: Path) -> None:
    shelf, other = Shelf(), make_toy_checkpoint(tmp_path / "other.safetensors", 1)
    shelf.lease(path)

    def load(files: Files, match: Match, build: Build) -> Components:
        if shelf.pool.loaded is not None:
            raise torch.OutOfMemoryError("full")
        return TOY.load(files, match, build)

    shelf.load = load
    shelf.lease(other)
    assert shelf.pool.loaded == wanted(other)


def test_a_model_that_never_fits_is_named(path: Path) -> None:
    def load(files: Files, match: Match, build: Build) -> Components:
        raise torch.OutOfMemoryError("full")

    shelf = Shelf()
    shelf.load = load
    with pytest.raises(OutOfMemory, match=r"loading toy\.safetensors"):
        shelf.lease(path)


def test_unload_forgets(path: Path) -> None:
    shelf = Shelf()
    model = shelf.lease(path)
    shelf.pool.unload()
    assert shelf.pool.loaded is None
    assert shelf.lease(path) is not model


def test_one_job_at_a_time(path: Path) -> None:
    shelf, inside, order = Shelf(), threading.Event(), list[str]()

    def second() -> None:
        inside.wait(5)
        shelf.lease(path)
        order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with shelf.pool.lease(wanted(path), PLAIN):
        inside.set()
        thread.join(0.05)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]


class Watching:
    """The toy family, writing down where each part is while it is used."""

    def __init__(self) -> None:
        self.places: list[tuple[str, str]] = []

    def condition(self, model: Components, texts: object, options: object) -> Conditioning:
        self._look("text", model.text)
        return Conditioning(tokens=torch.zeros(1, 77, 8))

    def network(self, model: Components, tiling: bool) -> Callable[[Tensor, Tensor, Conditioning], Tensor]:
        def run(x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
            self._look("unet", model.unet)
            return model.unet(x, t, conditioning.tokens)

        return run

    def decode(self, model: Components, x: Tensor, tiling: bool) -> Tensor:
        self._look("vae", model.vae)
        return torch.zeros(1, 3, 8, 8)

    def _look(self, name: str, part: nn.Module) -> None:
        self.places.append((name, next(part.parameters()).device.type))


def watched(path: Path, offload: Offload) -> tuple[Model, Watching]:
    """Load the toy on the CPU and run it on the device that holds nothing."""
    build = Build(ops=PLAIN_OPS, attend=PLAIN, device=torch.device("cpu"), dtype=FULL, text_dtype=FULL, vae_dtype=FULL)
    _, match = identify(read_header(path), {})
    watching = Watching()
    components = TOY.load(Files(checkpoint=path), match, build)
    components.family = watching  # pyright: ignore[reportAttributeAccessIssue]
    wished = policy(offload, "meta")
    return Model(components=components, policy=wished, placement=Placement.of(wished)), watching


def weights(model: Model) -> dict[str, Tensor]:
    parts = {"text": model.components.text, "unet": model.components.unet, "vae": model.components.vae}
    return {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}


def same_tensors(before: dict[str, Tensor], after: dict[str, Tensor]) -> bool:
    return all(after[name].data_ptr() == tensor.data_ptr() for name, tensor in before.items())


def on_meta() -> tuple[Tensor, Tensor, Conditioning]:
    conditioning = Conditioning(tokens=torch.zeros(1, 77, 8, device=META))
    return torch.zeros(1, 4, 8, 8, device=META), torch.zeros(1, device=META), conditioning


def test_components_come_one_at_a_time_and_leave_unharmed(path: Path) -> None:
    model, watching = watched(path, Offload.COMPONENTS)
    before = weights(model)
    with torch.inference_mode():
        model.condition(["a"], OPTIONS)
        with model.network(tiling=False, note=silent) as network:
            assert next(model.components.text.parameters()).device.type == "cpu"
            network(*on_meta())
        model.decode(torch.zeros(1, 4, 1, 1), tiling=False, fallback=None, note=silent)
    assert watching.places == [("text", "meta"), ("unet", "meta"), ("vae", "meta")]
    assert same_tensors(before, weights(model))


def test_without_offloading_nothing_moves(path: Path) -> None:
    model, watching = watched(path, Offload.NONE)
    model.condition(["a"], OPTIONS)
    assert watching.places == [("text", "cpu")]


def test_blocks_come_one_at_a_time_and_leave_unharmed(path: Path) -> None:
    model, _ = watched(path, Offload.BLOCKS)
    unet, before, present = model.components.unet, weights(model), list[set[str]]()

    def look(module: nn.Module, _args: object) -> None:
        present.append({name for name, one in unet.named_children() if next(one.parameters()).device == META})

    blocks = dict(unet.named_children())
    with torch.inference_mode(), model.network(tiling=False, note=silent) as network:
        handles = [block.register_forward_pre_hook(look) for block in blocks.values()]
        network(*on_meta())
        for handle in handles:
            handle.remove()
    assert sorted(present, key=sorted) == sorted(({name} for name in blocks), key=sorted)
    assert same_tensors(before, weights(model))
    assert not any(block._forward_pre_hooks or block._forward_hooks for block in outer_blocks(unet))


@pytest.mark.parametrize("offload", [Offload.COMPONENTS, Offload.BLOCKS])
def test_a_failure_on_the_way_leaves_nothing_behind(path: Path, offload: Offload) -> None:
    model, _ = watched(path, offload)
    before = weights(model)

    def fail(module: nn.Module, _args: object, _result: object) -> None:
        raise ValueError("in the middle")

    handle = model.components.unet.get_submodule("attn.to_q").register_forward_hook(fail)
    with (
        pytest.raises(ValueError, match="in the middle"),
        model.network(tiling=False, note=silent) as network,
    ):
        network(*on_meta())
    handle.remove()
    assert same_tensors(before, weights(model))
    with model.network(tiling=False, note=silent) as network:
        assert network(*on_meta()).shape == (1, 4, 8, 8)


class Spoiled:
    """The toy family, whose VAE gives NaN in every number format but one."""

    def __init__(self, good: torch.dtype | None) -> None:
        self._good = good

    def encode(self, components: Components, picture: Tensor, tiling: bool) -> Tensor:
        good = next(components.vae.parameters()).dtype is self._good
        return TOY.encode(components, picture, tiling) if good else torch.full((1, 4, 1, 1), torch.nan)

    def decode(self, components: Components, x: Tensor, tiling: bool) -> Tensor:
        good = next(components.vae.parameters()).dtype is self._good
        return TOY.decode(components, x, tiling) if good else torch.full((1, 3, 8, 8), torch.nan)


def spoiled(path: Path, good: torch.dtype | None) -> Model:
    model = Shelf(vae=HALF).lease(path)
    model.components.family = Spoiled(good)  # pyright: ignore[reportAttributeAccessIssue]
    return model


@pytest.mark.parametrize("fallback", [torch.float32, torch.bfloat16])
def test_a_vae_that_gives_nan_goes_on_in_another_format(path: Path, fallback: torch.dtype) -> None:
    model, told = spoiled(path, fallback), list[str]()
    before = weights(model)
    with torch.inference_mode():
        x = torch.randn(1, 4, 2, 2)
        pictures = [model.decode(x, tiling=False, fallback=fallback, note=told.append) for _ in range(3)]
    for picture in pictures:
        assert torch.isfinite(picture).all()
        assert (picture.dtype, picture.shape) == (FULL, (3, 16, 16))
    assert told == [f"The VAE produced NaN; decoding again in {str(fallback).removeprefix('torch.')}"]
    assert {tensor.dtype for tensor in model.components.vae.state_dict().values()} == {fallback}
    others = {name: tensor for name, tensor in before.items() if not name.startswith("vae.")}
    assert same_tensors(others, weights(model))


def test_a_vae_that_gives_numbers_is_left_alone(path: Path) -> None:
    model = Shelf(vae=HALF).lease(path)
    before = weights(model)
    with torch.inference_mode():
        model.decode(torch.randn(1, 4, 2, 2), tiling=False, fallback=FULL, note=pytest.fail)
        model.encode(torch.zeros(1, 3, 16, 16), tiling=False, fallback=FULL, note=pytest.fail)
    assert same_tensors(before, weights(model))


def test_the_format_that_helped_a_vae_is_known_after_the_model_has_left(path: Path) -> None:
    shelf = Shelf(vae=HALF)
    with shelf.pool.lease(wanted(path), PLAIN) as model, torch.inference_mode():
        model.components.family = Spoiled(FULL)  # pyright: ignore[reportAttributeAccessIssue]
        model.decode(torch.randn(1, 4, 2, 2), tiling=False, fallback=FULL, note=silent)
    shelf.pool.unload()
    assert shelf.pool.loaded is None
    assert next(shelf.lease(path).components.vae.parameters()).dtype is FULL


@pytest.mark.parametrize("fallback", [torch.float32, torch.bfloat16])
def test_encoding_is_tried_in_another_format_too(path: Path, fallback: torch.dtype) -> None:
    model, told = spoiled(path, fallback), list[str]()
    picture = torch.rand(1, 3, 16, 16) * 2 - 1
    with pytest.raises(NumericalFault, match="--no-half-vae"):
        model.encode(picture, tiling=False, fallback=None, note=silent)
    with torch.inference_mode():
        latents = [model.encode(picture, tiling=False, fallback=fallback, note=told.append) for _ in range(2)]
    assert torch.isfinite(torch.cat(latents)).all()
    assert told == [f"The VAE produced NaN; encoding again in {str(fallback).removeprefix('torch.')}"]


@pytest.mark.parametrize(
    ("settings", "half", "full"),
    [
        ({}, torch.float32, None),
        ({"auto_vae_precision": False}, None, None),
        ({"auto_vae_precision_bfloat16": True}, torch.bfloat16, None),
        ({"auto_vae_precision": False, "auto_vae_precision_bfloat16": True}, torch.bfloat16, None),
    ],
)
def test_settings_choose_the_other_format(
    path: Path, settings: dict[str, bool], half: torch.dtype | None, full: torch.dtype | None
) -> None:
    snapshot = Snapshot().with_overrides(settings)
    assert vae_fallback(snapshot, Shelf(vae=HALF).lease(path)) is half
    assert vae_fallback(snapshot, Shelf(vae=FULL).lease(path)) is full


@pytest.mark.parametrize("fallback", [None, torch.float32])
def test_a_vae_that_always_gives_nan_is_an_error(path: Path, fallback: torch.dtype | None) -> None:
    model = spoiled(path, None)
    before = weights(model)
    with pytest.raises(NumericalFault, match="--no-half-vae"):
        model.decode(torch.randn(1, 4, 2, 2), tiling=False, fallback=fallback, note=silent)
    assert same_tensors(before, weights(model))


def test_texts_are_encoded_once_and_the_oldest_are_forgotten(path: Path) -> None:
    model, watching = watched(path, Offload.NONE)
    first = model.condition(["0"], OPTIONS)
    for number in range(COND_CACHE_ENTRIES):
        model.condition([str(number)], OPTIONS)
    assert model.condition(["0"], OPTIONS) is first  # used again before the limit was reached, so it stays
    model.condition(["one more"], OPTIONS)
    seen = len(watching.places)
    model.condition(["1"], OPTIONS)
    assert len(watching.places) == seen + 1
    assert len(model._encoded) == COND_CACHE_ENTRIES


def test_the_cache_tells_options_apart_and_can_be_left_out(path: Path) -> None:
    model, watching = watched(path, Offload.NONE)
    model.condition(["a"], OPTIONS)
    model.condition(["a"], replace(OPTIONS, clip_skip=2))
    model.condition(["a"], OPTIONS, cached=False)
    model.condition(["a", "b"], OPTIONS)
    assert len(watching.places) == 4


def test_convolutions_can_be_kept_channels_last(path: Path) -> None:
    shelf = Shelf()
    shelf.pool = Pool(replace(policy(), channels_last=True), shelf.find, PLAIN_OPS)  # pyright: ignore
    components = shelf.lease(path).components
    for part in (components.unet, components.vae):
        assert part.get_parameter("conv_in.weight").is_contiguous(memory_format=torch.channels_last)
    plain = Shelf().lease(path).components
    x = torch.randn(1, 4, 4, 4)
    torch.testing.assert_close(TOY.decode(components, x, False), TOY.decode(plain, x, False), atol=1e-5, rtol=0)


def test_without_the_check_what_is_no_number_becomes_black(path: Path) -> None:
    model, told = spoiled(path, None), list[str]()
    picture = model.decode(torch.randn(1, 4, 1, 1), tiling=False, fallback=FULL, note=told.append, check_nan=False)
    assert bool((picture == -1).all())
    assert told == []
