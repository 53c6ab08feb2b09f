"""`networks` and `lora`: the LoRAs of a run as extensions see them, and what they change of them."""

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from modules.compat.entrance import runner_of
from modules.extending.script import TXT2IMG
from modules.imaging.open import decode_base64, open_image
from tests.compat.zoo_house import ZooHouse, zoo_house
from tests.pipeline.narrow import make_narrow_checkpoint
from tests.pipeline.test_network_runs import make_lora

HALVED = "input_blocks"
"""In the names of the layers that some tests weaken."""


SCRIPT = """
from modules import script_callbacks, scripts


class Changer(scripts.Script):
    change = None
    at_step = None

    def title(self):
        return "Changer"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def process_batch(self, p, *args, **kwargs):
        if self.change is not None:
            self.change()


def called(params):
    if Changer.at_step is not None:
        Changer.at_step(params.sampling_step)


script_callbacks.on_cfg_denoiser(called)
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooHouse]:
    data, zoo = tmp_path_factory.mktemp("loras"), tmp_path_factory.mktemp("zoo")
    (zoo / "changer" / "scripts").mkdir(parents=True)
    (zoo / "changer" / "scripts" / "changer.py").write_text(SCRIPT)
    with zoo_house(data, zoo=zoo) as found:
        checkpoint = make_narrow_checkpoint(found.studio.models / "narrow.safetensors")
        found.host.catalog.refresh()
        found.settings.set({"sd_model_checkpoint": "narrow"})
        folder = data / "studio" / "Lora"
        make_lora(folder / "one.safetensors", checkpoint, seed=1)
        make_lora(folder / "two.safetensors", checkpoint, seed=2)
        weaker(folder / "one.safetensors", folder / "weaker.safetensors")
        importlib.import_module("networks").list_available_networks()
        yield found


def weaker(source: Path, target: Path) -> None:
    """Write a copy whose layers in some blocks have half of their strength."""
    tensors = load_file(source)
    save_file({name: value * 0.5 if HALVED in name and "lora_up" in name else value for name, value in tensors.items()}, target)  # fmt: skip


def made(house: ZooHouse, prompt: str, change: Callable[[], None] | None = None) -> Any:
    """Make a picture; an extension's script does something in `process_batch`."""
    (script,) = runner_of(TXT2IMG).alwayson_scripts
    script.change = change
    (image,) = house.txt2img(prompt=prompt)["images"]
    return open_image(decode_base64(image)).tobytes()


def networks() -> Any:
    return importlib.import_module("networks")


def strength(text: float, unet: float) -> Callable[[], None]:
    def change() -> None:
        (found,) = networks().loaded_networks
        assert found.name == "one"
        found.te_multiplier, found.unet_multiplier = text, unet

    return change


def times(factor: float, part: str = "") -> Callable[[], None]:
    def change() -> None:
        (found,) = importlib.import_module("lora").loaded_loras
        for name, module in found.modules.items():
            if part in name:
                module.up_model.weight = torch.nn.Parameter(module.up_model.weight * factor)

    return change


@pytest.fixture(scope="module")
def full(house: ZooHouse) -> Any:
    images = made(house, "a red circle <lora:one:1>")
    assert images != made(house, "a red circle")
    return images


def test_files_are_listed_by_their_names(house: ZooHouse):
    lora = importlib.import_module("lora")
    assert set(lora.available_loras) == {"one", "two", "weaker"}
    one = networks().available_networks["one"]
    assert (one.alias, one.name, Path(one.filename).name) == ("alias of one", "one", "one.safetensors")
    assert networks().available_network_aliases["alias of one"].filename == one.filename
    assert networks().available_networks.get("three") is None
    assert {"none", "addams"} <= set(networks().forbidden_network_aliases)
    # The copy kept the words of its original's header or none; what two files share stands for neither.
    assert lora.forbidden_lora_aliases == networks().forbidden_network_aliases


def test_the_loras_of_a_batch_are_shown(house: ZooHouse, full: Any):
    seen: list[Any] = []
    made(house, "a red circle <lora:one:0.5:0.25>", lambda: seen.extend(networks().loaded_networks))
    (found,) = seen
    assert (found.name, found.te_multiplier, found.unet_multiplier) == ("one", 0.5, 0.25)
    assert found.network_on_disk.name == "one"
    names = importlib.import_module("modules.shared").sd_model.network_layer_mapping
    assert found.modules
    assert set(found.modules) <= set(names)
    assert {type(one).__name__ for one in found.modules.values()} == {"NetworkModuleLora"}


def test_changed_strengths_count(house: ZooHouse, full: Any):
    prompt = "a red circle <lora:one:1>"
    assert made(house, prompt, strength(0.5, 0.25)) == made(house, "a red circle <lora:one:0.5:0.25>") != full
    assert made(house, prompt, strength(1, 1)) == full
    assert made(house, prompt, networks().loaded_networks.clear) == made(house, "a red circle")


def test_multiplied_tensors_count_as_weaker_layers(house: ZooHouse, full: Any):
    prompt = "a red circle <lora:one:1>"
    assert made(house, prompt, times(0.5)) == made(house, "a red circle <lora:one:0.5>") != full
    assert made(house, prompt, times(0.5, HALVED)) == made(house, "a red circle <lora:weaker:1>") != full
    assert made(house, prompt) == full


def test_other_changes_of_tensors_are_told_and_left_out(house: ZooHouse, full: Any):
    def change() -> None:
        module = next(iter(networks().loaded_networks[0].modules.values()))
        module.up_model.weight = torch.nn.Parameter(module.up_model.weight + 1)

    assert made(house, "a red circle <lora:one:1>", change) == full


def test_an_extension_may_load_other_loras(house: ZooHouse, full: Any):
    def change() -> None:
        networks().load_networks(["two", "absent"], [0.5, 1.0], [0.25, 1.0], [None, None])

    changed = made(house, "a red circle <lora:one:1>", change)
    assert changed == made(house, "a red circle <lora:two:0.5:0.25>") != full


def test_layers_run_through_the_functions_that_extensions_call(house: ZooHouse):
    layer, x = torch.nn.Linear(3, 2), torch.ones(1, 3)
    loaded = networks()
    with torch.no_grad():
        assert torch.equal(loaded.network_forward(layer, x, loaded.originals.Linear_forward), layer(x))
        assert torch.equal(loaded.network_Linear_forward(layer, x), layer(x))
    assert loaded.network_apply_weights(layer) is None


def test_strengths_may_change_while_a_run_is_sampled(house: ZooHouse, full: Any):
    script = type(runner_of(TXT2IMG).alwayson_scripts[0])

    def off_from(first: int) -> Any:
        def at_step(step: int) -> None:
            if step == first:
                networks().loaded_networks[0].unet_multiplier = 0

        script.at_step = staticmethod(at_step)
        try:
            return made(house, "a red circle <lora:one:1>")
        finally:
            script.at_step = None

    assert off_from(0) == made(house, "a red circle <lora:one:1:0>")
    assert off_from(2) not in (full, made(house, "a red circle <lora:one:1:0>"))
    assert made(house, "a red circle <lora:one:1>") == full
