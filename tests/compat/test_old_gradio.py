"""Every idiom of gradio 3 and 4 that surveyed extensions use: components, keywords, events, values."""

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio
import numpy as np
import pytest
from gradio.components.image_editor import EditorData
from gradio.data_classes import FileData
from PIL import Image

from modules.compat.mount import unmount
from modules.compat.old_gradio import serving_old_idioms
from tests.compat.zoo_house import ZooHouse, zoo_house

pytestmark = pytest.mark.slow

gr: Any = gradio
"""With names that this version does not have."""
NO_COMPONENT = {"update", "skip", "Warning", "Info", "Error", "Progress", "Brush", "mount_gradio_app", "Examples"}
VALUES: dict[str, Any] = {
    "source": "upload", "tool": "sketch", "brush_color": "#ff0000", "brush_radius": 20, "mirror_webcam": False,
    "show_download_button": False, "show_share_button": False, "show_copy_button": True, "tooltip": "words",
    "shape": (64, 48), "open": True, "interactive": True, "size": "sm", "max_rows": 5, "variant": "panel",
    "placeholder": "text", "elem_id": "some", "visible": True, "css": ".a { color: red }", "min_lines": 2,
    "label": "Label", "info": "info",
}  # fmt: skip


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooHouse]:
    empty = tmp_path_factory.mktemp("zoo")
    folder = empty / "plain" / "scripts"
    folder.mkdir(parents=True)
    (folder / "plain.py").write_text("from modules import script_callbacks\n")
    with zoo_house(tmp_path_factory.mktemp("data"), zoo=empty) as found:
        yield found


@pytest.fixture
def page(zoo: ZooHouse) -> Iterator[gradio.Blocks]:
    """What an extension builds."""
    assert zoo.compat.mounted
    with serving_old_idioms(), warnings.catch_warnings(), gr.Blocks() as blocks:
        warnings.simplefilter("ignore")
        yield blocks


def build(call: str, gradio: Any) -> Any:
    """Build the component of a call such as `Image(source=)`."""
    name, _, rest = call.partition("(")
    key = rest.partition("=")[0]
    made = getattr(gradio, name)
    if name in ("Dropdown", "Radio", "CheckboxGroup"):
        return made(choices=["a", "b"], **{key: VALUES[key]})
    return made(**{key: VALUES[key]})


def surveyed(shared_dir: Path) -> dict[str, Any]:
    return json.loads((shared_dir / "spec" / "extension_api.json").read_text())


def test_all_components_that_extensions_use_can_be_built(page: gradio.Blocks, shared_dir: Path):
    for name in surveyed(shared_dir)["gradio_components"]:
        made = getattr(gr, name)
        assert name in NO_COMPONENT or isinstance(made(), gr.blocks.Block), name


def test_all_keywords_that_are_gone_are_taken(page: gradio.Blocks, shared_dir: Path):
    for call in surveyed(shared_dir)["gradio_rejected_keywords"]:
        assert isinstance(build(call, gr), gr.blocks.Block), call
    assert not [one for one in page.blocks.values() if getattr(one, "visible", None) is False]


def test_outside_of_extensions_gradio_is_itself(zoo: ZooHouse):
    assert zoo.compat.mounted
    with gr.Blocks(), pytest.raises(TypeError, match="tool"):
        gr.Image(tool="sketch")
    with gr.Blocks():
        assert gr.Dropdown(["a"]).value == "a"


def test_keywords_mean_what_they_meant(page: gradio.Blocks):
    assert gr.Image(source="webcam").sources == ["webcam"]
    assert gr.Image(source="canvas").sources == ["upload"]
    assert gr.Gallery(show_download_button=False, show_share_button=False).buttons == []
    assert gr.Textbox(show_copy_button=True).buttons == ["copy"]
    assert gr.Button("x", tooltip="words").tooltip == "words"
    assert gr.Dropdown(choices=["a"]).value is None
    assert gr.Textbox(visible=False).visible == "hidden"
    assert gr.Row(visible=False).visible == "hidden"
    assert gr.File(type="file").type == "filepath"
    assert gr.UploadButton(type="bytes").type == "binary"
    assert gr.inputs.Textbox(default="hi").value == "hi"
    assert gr.Textbox(label="x").style(container=False).container is False
    assert gr.Textbox.update(value="7", visible=False)["visible"] == "hidden"
    assert gr.update(value=3)["value"] == 3
    assert gr.Variable([1]).value == [1]
    assert isinstance(gr.Slider(), gr.events.Releaseable)
    assert not isinstance(gr.Button(), gr.events.Releaseable)
    assert isinstance(gr.Textbox(), gr.components.IOComponent)
    with gr.Box(elem_id="box") as box:
        gr.Textbox()
    assert {"gr-box", "gradio-group"} <= set(box.elem_classes)


def test_elements_have_the_classes_that_page_scripts_look_for(page: gradio.Blocks):
    assert "gradio-button" in gr.Button().elem_classes
    assert "gradio-dropdown" in gr.Dropdown(["a"], elem_classes=["mine"]).elem_classes
    assert "gap" in gr.Column().elem_classes
    with gr.Accordion("x", open=False) as closed:
        gr.Textbox()
    assert not closed.open
    assert closed.open is not False


def test_events_take_what_they_took(page: Any):
    button, box, seen = gr.Button(), gr.Textbox(), list[Any]()
    first = button.click(lambda: gr.Textbox.update(visible=False), _js="() => []", inputs=[], outputs=[box])
    first.then(fn=None, _js="() => 1", inputs=[], outputs=[]).success(lambda: None, _js="() => 2")
    box.change(lambda text: seen.append(text), [box], [], every=2)
    page.queue(concurrency_count=3)
    assert [fn.js for fn in page.fns.values()][:3] == ["() => []", "() => 1", "() => 2"]
    made = page.dependencies
    assert (made[0]["trigger"], made[0]["targets"], made[0]["outputs"]) == ("click", [button._id], [box._id])
    handler: Callable[..., Any] = page.fns[0].fn
    assert handler()["visible"] == "hidden"


def test_handlers_that_yield_are_served(page: Any):
    button, box = gr.Button(), gr.Textbox()

    def steps() -> Iterator[Any]:
        yield gr.Textbox.update(visible=False)
        yield gr.update(visible=False)

    button.click(steps, None, box)
    assert [one["visible"] for one in page.fns[0].fn()] == ["hidden", "hidden"]


def test_values_outside_of_lists_and_ranges_reach_handlers(page: gradio.Blocks):
    drop, radio, several = gr.Dropdown(["a"]), gr.Radio(["a"], type="index"), gr.CheckboxGroup(["a"])
    slider, number = gr.Slider(0, 10, step=1), gr.Number(precision=0)
    assert drop.preprocess("z") == "z"
    assert (radio.preprocess("a"), radio.preprocess("z")) == (0, None)
    assert (several.preprocess(["z"]), several.preprocess(None)) == (["z"], [])
    assert (slider.preprocess(99), slider.preprocess("7"), number.preprocess("3")) == (99, 7, 3)
    assert isinstance(slider.preprocess("7"), int)
    assert gr.Slider(0, 1, step=0.5).preprocess(0.25) == 0.25


def test_a_handler_of_a_sketch_gets_a_picture_and_a_mask(page: gradio.Blocks, tmp_path: Path):
    sketch = gr.Image(source="upload", tool="sketch", type="numpy", brush_color="#00ff00", elem_id="drawn")
    below = Image.new("RGBA", (40, 30), (200, 10, 10, 255))
    layer = Image.new("RGBA", (40, 30))
    layer.paste((0, 255, 0, 200), (10, 5, 20, 15))
    given = EditorData(background=sent(below, tmp_path / "a.png"), layers=[sent(layer, tmp_path / "b.png")], composite=None)  # fmt: skip
    found = sketch.preprocess(given)
    assert set(found) == {"image", "mask"}
    assert found["image"].shape == found["mask"].shape == (30, 40, 3)
    assert found["image"][0, 0].tolist() == [200, 10, 10]
    assert np.argwhere(found["mask"][..., 0] == 255).min(0).tolist() == [5, 10]
    assert int((found["mask"] == 255).sum()) == 3 * 100
    assert sketch.preprocess(None) is None
    assert sketch.get_config()["elem_id"] == "drawn"
    assert sketch.brush.default_color[0] == "#00ff00"


def test_what_a_sketch_is_given_comes_back(page: gradio.Blocks):
    sketch = gr.Image(tool="sketch", type="pil")
    mask = Image.new("L", (20, 10))
    mask.paste(255, (2, 3, 6, 7))
    shown = sketch.postprocess({"image": Image.new("RGB", (20, 10), "blue"), "mask": mask})
    found = sketch.preprocess(shown)
    assert found["image"].getpixel((0, 0)) == (0, 0, 255)
    assert found["mask"].convert("L").tobytes() == mask.tobytes()
    alone = sketch.preprocess(sketch.postprocess(Image.new("RGB", (20, 10), "blue")))
    assert alone["mask"].getbbox() is None
    assert gr.Image.update(value=None)["value"] is None


def test_shapes_colours_and_other_tools(page: gradio.Blocks):
    picture = Image.new("RGB", (40, 20), "white")
    shaped = gr.Image(tool="sketch", type="pil", shape=(8, 8), image_mode="L", invert_colors=True)
    found = shaped.preprocess(shaped.postprocess(picture))
    assert (found["image"].size, found["image"].mode, found["image"].getpixel((0, 0))) == ((8, 8), "L", 0)
    coloured = gr.Image(tool="color-sketch", type="pil")
    assert coloured.preprocess(coloured.postprocess(picture)).size == (40, 20)
    for tool in ("editor", "select", None):
        assert isinstance(gr.Image(tool=tool), gr.Image)
    canvas = gr.Image(source="canvas", tool="sketch", type="numpy", shape=(32, 16))
    assert (canvas.canvas_size, canvas.preprocess(canvas.postprocess(picture)).shape) == ((32, 16), (16, 32, 3))


def sent(picture: Image.Image, path: Path) -> FileData:
    picture.save(path)
    return FileData(path=str(path), orig_name=path.name)


def test_nothing_is_left_when_extensions_are_gone():
    unmount()
    with gr.Blocks():
        assert "gradio-button" not in (gr.Button().elem_classes or [])


def test_texts_begin_empty_and_states_are_made(page: gradio.Blocks):
    assert [one.value for one in (gr.Textbox(), gr.TextArea(label="x"), gr.HTML(), gr.Markdown())] == [""] * 4
    assert (gr.Textbox("a").value, gr.Textbox(value=None).value, gr.Number().value) == ("a", None, None)
    assert gr.State(dict).value == {}


def test_sliders_may_have_no_room(page: gradio.Blocks):
    assert [(one.minimum, one.value) for one in (gr.Slider(minimum=1, maximum=1, step=1), gr.Slider(0, 0, 0))] == [(1, 1), (0, 0)]  # fmt: skip
    assert gr.Slider(0, 10, 5, step=1, label="x").maximum == 10
