"""Where networks run and in which number formats, decided from flags on machines that only pretend to be there."""

import pytest
import torch

from modules.domain.errors import WebuiError
from modules.residency.device import DeviceWish, Offload, decide

HALF, FULL = torch.float16, torch.float32


@pytest.fixture
def two_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"card {index}")


@pytest.fixture
def no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.usefixtures("two_cards")
@pytest.mark.parametrize(
    ("wish", "network", "vae"),
    [
        (DeviceWish(), HALF, HALF),
        (DeviceWish(no_half=True), FULL, FULL),
        (DeviceWish(no_half_vae=True), HALF, FULL),
        (DeviceWish(precision="full"), FULL, FULL),
        (DeviceWish(precision="half"), HALF, HALF),
    ],
)
def test_number_formats_on_a_graphics_card(wish: DeviceWish, network: torch.dtype, vae: torch.dtype) -> None:
    policy = decide(wish)
    assert (policy.device, policy.dtype, policy.text_dtype, policy.vae_dtype) == (
        torch.device("cuda", 0), network, network, vae,
    )  # fmt: skip
    assert "card 0" in policy.why


@pytest.mark.usefixtures("two_cards")
@pytest.mark.parametrize(
    ("wish", "offload"),
    [
        (DeviceWish(), Offload.NONE),
        (DeviceWish(medvram=True), Offload.COMPONENTS),
        (DeviceWish(lowvram=True), Offload.BLOCKS),
        (DeviceWish(medvram=True, lowvram=True), Offload.BLOCKS),
    ],
)
def test_offloading_is_asked_for(wish: DeviceWish, offload: Offload) -> None:
    assert decide(wish).offload is offload


@pytest.mark.usefixtures("two_cards")
@pytest.mark.parametrize(
    ("wish", "sdxl", "others"),
    [
        (DeviceWish(medvram_sdxl=True), Offload.COMPONENTS, Offload.NONE),
        (DeviceWish(medvram=True), Offload.COMPONENTS, Offload.COMPONENTS),
        (DeviceWish(medvram_sdxl=True, lowvram=True), Offload.BLOCKS, Offload.BLOCKS),
        (DeviceWish(medvram_sdxl=True, use_cpu=["all"]), Offload.NONE, Offload.NONE),
    ],
)
def test_only_large_models_can_be_offloaded(wish: DeviceWish, sdxl: Offload, others: Offload) -> None:
    policy = decide(wish)
    assert (policy.for_family("sdxl").offload, policy.for_family("sd1").offload) == (sdxl, others)


@pytest.mark.usefixtures("two_cards")
@pytest.mark.parametrize("name", ["1", "cuda:1", "1,0"])
def test_a_card_is_chosen(name: str) -> None:
    assert decide(DeviceWish(device_id=name)).device == torch.device("cuda", 1)


@pytest.mark.usefixtures("two_cards")
@pytest.mark.parametrize("name", ["2", "-1", "first", "²"])
def test_a_card_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(WebuiError, match=f"--device-id {name}: there are 2"):
        decide(DeviceWish(device_id=name))


@pytest.mark.usefixtures("two_cards")
@pytest.mark.parametrize("part", ["all", "sd"])
def test_the_cpu_is_used_when_asked_for(part: str) -> None:
    policy = decide(DeviceWish(use_cpu=[part], lowvram=True, device_id="9"))
    assert (policy.device, policy.dtype, policy.offload) == (torch.device("cpu"), FULL, Offload.NONE)


@pytest.mark.usefixtures("no_card")
def test_without_a_card_everything_runs_in_full_precision_on_the_cpu() -> None:
    policy = decide(DeviceWish(precision="half", medvram=True, device_id="1"))
    assert (policy.device.type, policy.dtype, policy.vae_dtype, policy.offload) == ("cpu", FULL, FULL, Offload.NONE)
    assert "No GPU found" in policy.why


@pytest.mark.usefixtures("no_card")
def test_apples_card_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert decide(DeviceWish()).device.type == "mps"
