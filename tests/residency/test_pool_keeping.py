"""Several models stay loaded, within the memory there is and what the settings say."""

import gc
import logging
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from modules.domain.errors import OutOfMemory
from modules.domain.request import BatchSpec, Generation, RefinerSpec, SamplingSpec, Size
from modules.families.family import Components
from modules.families.toy.checkpoint import make_toy_checkpoint
from modules.families.toy.family import TOY
from modules.nn.attention.plain import PLAIN
from modules.residency.device import Offload
from modules.residency.keeping import SHARE, WORKING_BYTES, Keeping, fits
from modules.residency.resident import Where
from modules.residency.sizes import weight_bytes
from modules.sampling.types import Conditioning
from modules.settings.snapshot import Snapshot
from tests.pipeline.workshop import open_studio
from tests.residency.pools import CARD, Stock, outputs, wanted


@pytest.fixture(scope="module")
def size(tmp_path_factory: pytest.TempPathFactory) -> int:
    """Bytes of one toy model."""
    stock = Stock(tmp_path_factory.mktemp("size"))
    stock.use("a")
    return stock.pool.present()[0].num_bytes


def test_without_any_setting_models_stay_while_they_take_no_more_than_their_share(tmp_path: Path, size: int) -> None:
    stock = Stock(tmp_path, ram=int(3.5 * size / SHARE))
    stock.use("abcab")
    assert (stock.there, stock.loads) == ("bac", ["a", "b", "c"])
    stock.use("d")
    assert stock.there == "dba"  # the one used longest ago has left
    stock.use("ba")
    assert stock.loads == ["a", "b", "c", "d"]


def test_room_is_made_before_loading_and_the_model_in_use_never_leaves(tmp_path: Path, size: int) -> None:
    stock = Stock(tmp_path, ram=int(1.5 * size / SHARE))
    stock.use("ab")
    assert stock.there == "b"
    with stock.pool.lease(wanted(stock.path("b")), PLAIN) as outer:
        before = outputs(outer.components)
        with stock.pool.lease(wanted(stock.path("c")), PLAIN):
            assert stock.there == "cb"
            assert [one.in_use for one in stock.pool.present()] == [True, True]
        assert torch.equal(outputs(outer.components), before)
    stock.pool.settle()
    assert len(stock.there) == 1


def test_a_base_and_a_refiner_that_both_fit_are_loaded_once(tmp_path: Path, size: int) -> None:
    stock = Stock(tmp_path, ram=int(2.5 * size / SHARE))
    stock.use("ab" * 10)
    assert stock.loads == ["a", "b"]


@pytest.mark.parametrize(
    ("settings", "there"),
    [
        ({}, "d"),
        ({"sd_checkpoints_limit": 2}, "dc"),
        ({"sd_checkpoints_limit": 3}, "dcb"),
        ({"sd_checkpoint_cache": 2}, "dc"),
        ({"sd_checkpoint_cache": 3, "sd_checkpoints_limit": 2}, "dcb"),
    ],
)
def test_the_numbers_alone_decide_where_the_automatic_way_is_off(
    tmp_path: Path, settings: dict[str, int], there: str
) -> None:
    snapshot = Snapshot().with_overrides({"sd_checkpoints_automatic": False, **settings})
    stock = Stock(tmp_path, keeping=Keeping.chosen(snapshot))
    stock.use("abcd")
    assert stock.there == there


def test_the_numbers_hold_even_where_the_automatic_way_would_keep_less(tmp_path: Path, size: int) -> None:
    stock = Stock(tmp_path, ram=size, keeping=Keeping.chosen(Snapshot().with_overrides({"sd_checkpoints_limit": 3})))
    stock.use("abcd")
    assert stock.there == "dcb"


def test_a_lower_number_counts_at_once(tmp_path: Path) -> None:
    stock = Stock(tmp_path)
    stock.use("abc")
    stock.keeping = Keeping(automatic=False)
    stock.pool.settle()
    assert stock.there == "c"


@pytest.mark.parametrize(("in_cpu", "there"), [(True, "Cb"), (False, "CB")])
def test_only_one_model_or_all_of_them_stay_on_the_card(tmp_path: Path, in_cpu: bool, there: str) -> None:
    chosen = {"sd_checkpoints_automatic": False, "sd_checkpoints_limit": 2, "sd_checkpoints_keep_in_cpu": in_cpu}
    keeping = Keeping.chosen(Snapshot().with_overrides(chosen))
    stock = Stock(tmp_path, card=4 * WORKING_BYTES, keeping=keeping)
    stock.use("abc")
    assert stock.there == there


def card_for(size: int, models: float) -> int:
    """Return the size of a card for so many toy models, which are tiny beside what computing takes."""
    return WORKING_BYTES + int(models * size)


def test_models_beyond_their_share_of_the_card_wait_in_main_memory(tmp_path: Path, size: int) -> None:
    stock = Stock(tmp_path, card=card_for(size, 2.5), ram=int(2.5 * size / SHARE))
    stock.use("abc")
    assert stock.there == "CBa"
    stock.use("d")
    assert stock.there == "DCba"
    stock.use("e")
    assert stock.there == "EDcb"  # main memory is at its share too
    stock.use("b")
    assert stock.there == "BEdc"
    assert stock.loads == ["a", "b", "c", "d", "e"]
    assert stock.notes == []


def test_the_card_as_the_bottleneck_is_told_and_gone_around(tmp_path: Path, size: int) -> None:
    stock = Stock(tmp_path, card=card_for(size, 0.9))
    with stock.pool.lease(wanted(stock.path("a")), PLAIN, stock.notes.append) as model:
        assert model.placement.offload is Offload.COMPONENTS
    assert stock.there == "a"
    assert stock.notes == [
        "a is larger than the free memory of the graphics card, so it runs slower: its parts take turns there"
    ]
    largest = weight_bytes(model.components.unet)
    stock.machine.card = WORKING_BYTES + largest - 1
    with stock.pool.lease(wanted(stock.path("a")), PLAIN, stock.notes.append) as model:
        assert model.placement.offload is Offload.BLOCKS
    assert stock.notes[-1].endswith("its network gets there block by block")
    stock.machine.card = card_for(size, 1)
    with stock.pool.lease(wanted(stock.path("a")), PLAIN, stock.notes.append) as model:
        assert model.placement.offload is Offload.NONE
    assert (stock.there, stock.loads, len(stock.notes)) == ("A", ["a"], 2)


@pytest.mark.parametrize("offload", [Offload.COMPONENTS, Offload.BLOCKS])
def test_what_the_command_line_asks_for_is_not_argued_with(tmp_path: Path, offload: Offload) -> None:
    stock = Stock(tmp_path, card=4 * WORKING_BYTES, offload=offload)
    with stock.pool.lease(wanted(stock.path("a")), PLAIN, stock.notes.append) as model:
        assert model.placement.offload is offload
    assert (stock.there, stock.notes) == ("a", [])


def test_idle_models_make_way_on_the_card_before_parts_take_turns(tmp_path: Path, size: int) -> None:
    stock = Stock(tmp_path, card=card_for(size, 1.5), keeping=Keeping(models=3, on_device=3))
    stock.use("ab")
    assert (stock.there, stock.notes) == ("Ba", [])


def test_another_vae_shares_all_other_weights_and_comes_alone(tmp_path: Path) -> None:
    stock, other = Stock(tmp_path), make_toy_checkpoint(tmp_path / "other.safetensors", 9)
    path = stock.path("a")
    with stock.pool.lease(wanted(path), PLAIN) as first:
        own = outputs(first.components)
    before = stock.pool.present()[0].num_bytes
    with stock.pool.lease(wanted(path, other), PLAIN) as second:
        assert second.components.unet is first.components.unet
        assert second.components.text is first.components.text
        assert second.components.vae is not first.components.vae
        assert not torch.equal(outputs(second.components), own)
    (told,) = stock.pool.present()
    assert told.vae == other
    assert told.num_bytes == before + weight_bytes(second.components.vae)
    with stock.pool.lease(wanted(path), PLAIN) as again:
        assert again is first
    with stock.pool.lease(wanted(other), PLAIN) as model:
        expected = model.components.vae.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in second.components.vae.state_dict().items())
    assert stock.loads == ["a", "VAE of other", "other"]


@pytest.mark.parametrize(("cached", "loads"), [(0, 4), (1, 2)])
def test_so_many_other_vaes_stay(tmp_path: Path, cached: int, loads: int) -> None:
    chosen = {"sd_checkpoints_automatic": False, "sd_vae_checkpoint_cache": cached}
    stock = Stock(tmp_path, keeping=Keeping.chosen(Snapshot().with_overrides(chosen)))
    other = make_toy_checkpoint(tmp_path / "other.safetensors", 9)
    for vae in (None, other, None, other):
        with stock.pool.lease(wanted(stock.path("a"), vae), PLAIN):
            pass
    assert len(stock.loads) == loads


def test_a_vae_without_use_leaves_before_a_model(tmp_path: Path, size: int) -> None:
    stock = Stock(tmp_path, ram=int(2.05 * size / SHARE))
    with stock.pool.lease(wanted(stock.path("a"), make_toy_checkpoint(tmp_path / "other.safetensors", 9)), PLAIN):
        pass
    stock.use("ab")
    assert stock.there == "ba"
    assert [one.num_bytes for one in stock.pool.present()] == [size, size]


def test_texts_are_encoded_once_for_all_vaes_of_a_checkpoint(tmp_path: Path) -> None:
    stock, other = Stock(tmp_path), make_toy_checkpoint(tmp_path / "other.safetensors", 9)
    with stock.pool.lease(wanted(stock.path("a")), PLAIN) as first:
        pass
    with stock.pool.lease(wanted(stock.path("a"), other), PLAIN) as second:
        assert second._encoded is first._encoded


@pytest.mark.parametrize("task", ["sampling", "decoding", "encoding"])
def test_running_out_of_memory_sends_idle_models_away_and_tries_again(tmp_path: Path, task: str) -> None:
    stock, notes, tries = Stock(tmp_path), list[str](), list[str]()
    stock.use("ab")

    class Hungry:
        """The toy family, which needs all memory for itself."""

        def __getattr__(self, name: str) -> Any:
            def call(*args: Any) -> Any:
                return hungry(getattr(TOY, name)(*args)) if name == "network" else hungry(getattr(TOY, name))(*args)

            return call

    def hungry(run: Callable[..., Any]) -> Callable[..., Any]:
        def tried(*args: Any) -> Any:
            tries.append(stock.there)
            if len(stock.there) > 1:
                raise torch.OutOfMemoryError("full")
            return run(*args)

        return tried

    with stock.pool.lease(wanted(stock.path("c")), PLAIN) as model, torch.inference_mode():
        model.components.family = cast(Any, Hungry())
        if task == "sampling":
            with model.network(tiling=False, note=notes.append) as network:
                network(torch.zeros(1, 4, 2, 2), torch.zeros(1), Conditioning(tokens=torch.zeros(1, 77, 8)))
        elif task == "decoding":
            model.decode(torch.zeros(1, 4, 2, 2), tiling=False, fallback=None, note=notes.append)
        else:
            model.encode(torch.zeros(1, 3, 16, 16), tiling=False, fallback=None, note=notes.append)
    assert tries == ["cba", "c"]
    assert notes == []  # the picture is as it would have been


def test_a_job_that_runs_out_of_memory_for_good_still_ends_in_an_error(tmp_path: Path) -> None:
    stock = Stock(tmp_path)
    stock.use("a")

    def full(*_: object) -> Tensor:
        raise torch.OutOfMemoryError("full")

    with stock.pool.lease(wanted(stock.path("b")), PLAIN) as model:
        model.components.family = cast(Any, SimpleNamespace(decode=full))
        with pytest.raises(OutOfMemory, match="decoding"):
            model.decode(torch.zeros(1, 4, 2, 2), tiling=False, fallback=None, note=stock.notes.append)
    stock.use("b")
    assert stock.there == "b"


def test_unloading_takes_models_off_the_card_and_reloading_brings_the_last_one_back(tmp_path: Path, size: int) -> None:
    stock = Stock(tmp_path, card=card_for(size, 3), ram=int(2.5 * size / SHARE))
    assert not stock.pool.reload()
    stock.use("ab")
    stock.pool.unload()
    assert stock.there == "ba"
    assert stock.pool.reload()
    assert stock.there == "Ba"
    stock.machine.ram = size  # what finds no room leaves altogether
    stock.pool.unload()
    assert stock.there == "a"
    stock.use("b")
    assert stock.loads == ["a", "b", "b"]


def test_unloading_without_a_card_frees_the_memory(tmp_path: Path) -> None:
    stock = Stock(tmp_path)
    stock.use("ab")
    stock.pool.unload()
    assert (stock.there, stock.pool.loaded) == ("", None)
    assert stock.pool.reload()
    assert stock.there == "b"


def test_unloading_leaves_a_model_in_use_until_its_job_ends(tmp_path: Path) -> None:
    stock = Stock(tmp_path)
    stock.use("a")
    with stock.pool.lease(wanted(stock.path("b")), PLAIN) as model:
        stock.pool.unload()
        assert stock.there == "b"
        assert torch.isfinite(outputs(model.components)).all()
        assert stock.pool.reload()  # a job is at work: nothing to do, and nothing to wait for
    assert stock.there == ""


def test_what_is_present_is_told_while_a_job_works(tmp_path: Path, size: int) -> None:
    stock, start = Stock(tmp_path), datetime.now(UTC)
    with stock.pool.lease(wanted(stock.path("a")), PLAIN), ThreadPoolExecutor(1) as other:
        (told,) = other.submit(stock.pool.present).result(timeout=5)
    assert (told.name, told.checkpoint, told.vae, told.num_bytes) == ("a", stock.path("a"), None, size)
    assert (told.where, told.in_use) == (Where.DEVICE, True)
    assert start <= told.since <= datetime.now(UTC)
    assert [one.in_use for one in stock.pool.present()] == [False]


@pytest.mark.parametrize("models", [1.2, 10])
def test_every_picture_comes_from_the_model_that_was_asked_for(tmp_path: Path, size: int, models: float) -> None:
    stock, other = Stock(tmp_path, ram=int(models * size / SHARE)), make_toy_checkpoint(tmp_path / "vae.safetensors", 9)
    asked = [wanted(stock.path("a")), wanted(stock.path("b")), wanted(stock.path("a"), other)]
    expected = list[Tensor]()
    for one in asked:
        with stock.pool.lease(one, PLAIN) as model:
            expected.append(outputs(model.components))
    assert not any(torch.equal(expected[i], expected[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    together = threading.Barrier(6)

    def work(number: int) -> bool:
        together.wait(timeout=10)
        right = True
        for turn in range(6):
            which = (number + turn) % len(asked)
            with stock.pool.lease(asked[which], PLAIN) as model:
                right &= torch.equal(outputs(model.components), expected[which])
            if turn % 4 == number % 4:
                stock.pool.unload()
        return right

    with ThreadPoolExecutor(6) as threads:
        assert all(threads.map(work, range(6), timeout=60))


def test_shares() -> None:
    keeping = Keeping()
    assert keeping.num_staying([10, 10, 10], 20, at_least=1) == 3  # 30 of 50
    assert keeping.num_staying([10, 10, 10], 19, at_least=1) == 2
    assert keeping.num_staying([10, 10, 10], 0, at_least=2) == 2
    assert keeping.num_staying([10], 0, at_least=0) == 0
    assert keeping.num_staying([10, 10], 10, at_least=1, working_bytes=15) == 1
    assert Keeping(automatic=False).num_staying([1, 1, 1], 1000, at_least=2) == 2
    assert fits(5, WORKING_BYTES + 5)
    assert not fits(5, WORKING_BYTES + 4)


def test_what_leaves_memory_is_gone_at_once(tmp_path: Path, size: int) -> None:
    stock = Stock(tmp_path, ram=size)
    with stock.pool.lease(wanted(stock.path("a")), PLAIN) as model:
        unet = weakref.ref(model.components.unet)
    del model
    gc.disable()  # without a search for circles
    try:
        stock.use("b")
        assert unet() is None
    finally:
        gc.enable()


def test_as_a_last_resort_decoding_has_the_card_to_itself_until_the_next_job(tmp_path: Path, size: int) -> None:
    stock, places = Stock(tmp_path, card=card_for(size, 3)), list[tuple[str, str, str]]()

    def decode(components: Components, x: Tensor, tiling: bool) -> Tensor:
        parts = (components.text, components.unet, components.vae)
        places.append(cast(Any, tuple(next(part.parameters()).device.type for part in parts)))
        if places[-1] != ("cpu", "cpu", CARD.type):
            raise torch.OutOfMemoryError("full")
        return torch.zeros(1, 3, 8, 8)

    with stock.pool.lease(wanted(stock.path("a")), PLAIN) as model:
        family, model.components.family = model.components.family, cast(Any, SimpleNamespace(decode=decode))
        model.decode(torch.zeros(1, 4, 1, 1), tiling=False, fallback=None, note=stock.notes.append)
        model.components.family = family
        assert model.placement.offload is Offload.COMPONENTS
    assert len(set(places)) == 2
    assert stock.notes == [
        "Not enough memory for decoding at once: in tiles and with the other networks in main memory instead"
    ]
    with stock.pool.lease(wanted(stock.path("a")), PLAIN) as model:
        assert model.placement.offload is Offload.NONE
    assert (stock.there, stock.loads) == ("A", ["a"])


def test_as_a_last_resort_sampling_goes_on_block_by_block(tmp_path: Path, size: int) -> None:
    stock, present = Stock(tmp_path, card=card_for(size, 3)), list[int]()
    given = torch.zeros(1, 4, 2, 2, device=CARD), torch.zeros(1, device=CARD)
    conditioning = Conditioning(tokens=torch.zeros(1, 77, 8, device=CARD))
    with stock.pool.lease(wanted(stock.path("a")), PLAIN) as model:
        blocks = list(model.components.unet.children())

        def look(_block: object, _args: object) -> None:
            present.append(sum(next(block.parameters()).device == CARD for block in blocks))
            if present[-1] > 1:
                raise torch.OutOfMemoryError("full")

        with model.network(tiling=False, note=stock.notes.append) as network:
            handles = [block.register_forward_pre_hook(look) for block in blocks]
            # hooks of streaming come after these, so a block that arrives is not counted yet
            assert network(*given, conditioning).shape == given[0].shape
            for handle in handles:
                handle.remove()
        assert model.placement.offload is Offload.BLOCKS
    assert present[:2] == [len(blocks)] * 2
    assert set(present[2:]) <= {0, 1}
    assert len(stock.notes) == 1
    assert "block by block" in stock.notes[0]


def test_a_job_with_a_refiner_loads_each_model_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    studio, half = open_studio(tmp_path / "data"), RefinerSpec(checkpoint="zebra", switch_at=0.5)
    with caplog.at_level(logging.INFO, logger="modules.residency.loader"):
        request = Generation(
            prompt="a cat", size=Size(width=64, height=64), batch=BatchSpec(size=1, count=3), refiner=half,
            sampling=SamplingSpec(steps=4),
        )  # fmt: skip
        outcome = studio.make(request)
    assert len(outcome.images) == 3
    assert [message.split(":")[0] for message in caplog.messages] == ["toy.safetensors", "zebra.safetensors"]
