"""Every public LoRA layout finds all its layers in the model it was made for, and is known by its lineage."""

from pathlib import Path

import pytest

from modules.adapters.lora.file import contents_of
from modules.adapters.lora.names import LayerName, parse
from modules.library.header import Header, TensorInfo
from modules.nn.patches.low_rank import LowRank
from tests.adapters.manifests import bound, keys_of, lora_header, model_of

CHECKPOINTS = {"sd15": "sd15", "sd21": "sd21-768-v", "sdxl": "sdxl-base"}
LINEAGES = {"sd15": "sd1", "sd21": "sd2", "sdxl": "sdxl", "sd3": "sd3", "sd35": "sd3", "flux": "flux"}
UNTOLD = {
    "lycoris-sd15-boft", "lycoris-sd15-diag-oft", "lycoris-sd15-diag-oft-rescaled", "lycoris-sd15-lokr-decompose-both",
    "lycoris-sd15-lokr-dora", "lycoris-sd15-lokr-f8", "lycoris-sd15-lokr-full-w2", "lycoris-sd15-lokr-tucker",
    "lycoris-sd15-ia3", "kohya-sd15-oft-4blocks", "lycoris-sd15-glora",
}  # fmt: skip
"""Files that hold nothing of which the lineage could be told; whether they fit decides."""


def names() -> list[str]:
    folder = Path(__file__).resolve().parents[3] / "shared" / "manifests" / "lora"
    return sorted(path.name.removesuffix(".json.gz") for path in folder.glob("*.json.gz")) or ["none"]


def kind(name: str) -> str:
    return next(part for part in name.split("-") if part in LINEAGES)


@pytest.mark.parametrize("name", [name for name in names() if any(part in CHECKPOINTS for part in name.split("-"))])
def test_every_layer_has_its_place(shared_dir: Path, name: str) -> None:
    contents, found = bound(shared_dir, name, CHECKPOINTS[kind(name)])
    assert contents.unknown == ()
    assert found.missing == ()
    assert found.misfits == ()
    weights = {(one.target.part, one.name, one.target.share) for one in found.placed}
    assert len(weights) == len(found.placed)
    assert {layer.network for layer in contents.layers} == {one.network for one in found.placed}


@pytest.mark.parametrize("name", names())
def test_the_lineage_is_told(shared_dir: Path, name: str) -> None:
    contents = contents_of(lora_header(shared_dir, name))
    assert contents.lineage == (None if name in UNTOLD else LINEAGES[kind(name)])
    assert not contents.unknown or name.startswith("bfl")


@pytest.mark.parametrize(
    ("lora", "checkpoint"), [("kohya-sdxl-unet-te-r8", "sd15"), ("kohya-sd15-unet-te-r8", "sd21-768-v")]
)
def test_files_of_another_lineage_do_not_fit_as_a_whole(shared_dir: Path, lora: str, checkpoint: str) -> None:
    contents, found = bound(shared_dir, lora, checkpoint)
    assert found.missing or found.misfits
    assert len(found.placed) < len(contents.layers)


def test_parts_of_a_joint_matrix_are_thirds_of_it(shared_dir: Path) -> None:
    _, found = bound(shared_dir, "kohya-sdxl-unet-te-r8", "sdxl-base")
    name = "embedders.1.model.transformer.resblocks.0.attn.in_proj_weight"
    thirds = {one.target.share: one.patch for one in found.placed if one.name == name}
    assert set(thirds) == {(0, 3), (1, 3), (2, 3)}
    assert all(isinstance(patch, LowRank) and patch.up.shape[0] == 1280 for patch in thirds.values())


@pytest.mark.parametrize("checkpoint", [*CHECKPOINTS.values(), "sdxl-refiner"])
def test_the_map_leads_to_weights_that_are_there(shared_dir: Path, checkpoint: str) -> None:
    model, keys = model_of(shared_dir, checkpoint), keys_of(shared_dir, checkpoint)
    own = {"unet": set(model.unet.state_dict()), "text": set(model.text.state_dict())}
    targets = {target for layers in keys.networks.values() for target in layers.values()}
    assert all(target.weight in own[target.part] for target in targets)
    assert {("unet", name) for name in own["unet"] if name.endswith(".weight")} <= {(t.part, t.weight) for t in targets}
    assert keys.find("unet", "mid_block.resnets.0.conv1") == keys.find("unet", "middle_block_0_in_layers_2")


PATH = "down_blocks.0.attentions.0.transformer_blocks.0.attn1"
FLAT = PATH.replace(".", "_")


@pytest.mark.parametrize(
    ("name", "layer", "role"),
    [
        (f"lora_unet_{FLAT}_to_q.lora_up.weight", LayerName("unet", f"{FLAT}_to_q"), "up"),
        (f"oft_unet_{FLAT}_to_q.oft_blocks", LayerName("unet", f"{FLAT}_to_q"), "oft_blocks"),
        (f"unet.{PATH}.to_q.lora_A.weight", LayerName("unet", f"{FLAT}_to_q"), "down"),
        (f"unet.{PATH}.to_q.lora_A.default.weight", LayerName("unet", f"{FLAT}_to_q"), "down"),
        (f"unet.{PATH}.to_q.lora_B.bias", LayerName("unet", f"{FLAT}_to_q"), "up_bias"),
        (f"unet.{PATH}.to_q.lora_magnitude_vector.weight", LayerName("unet", f"{FLAT}_to_q"), "dora_scale"),
        (f"unet.{PATH}.to_q.lora.down.weight", LayerName("unet", f"{FLAT}_to_q"), "down"),
        (f"{PATH}.processor.to_out_lora.up.weight", LayerName("unet", f"{FLAT}_to_out"), "up"),
        ("diffusion_model.input_blocks.1.1.proj_in.diff_b", LayerName("unet", "input_blocks_1_1_proj_in"), "diff_b"),
        ("model.diffusion_model.out.2.diff", LayerName("unet", "out_2"), "diff"),
        ("base_model.model.conv_in.lora_B.weight", LayerName("unet", "conv_in"), "up"),
        ("text_encoder_2.text_model.final_layer_norm.w_norm", LayerName("te2", "text_model_final_layer_norm"), "w_norm"),
        ("lora_te1_text_model_encoder_layers_0_mlp_fc1.alpha", LayerName("te1", "text_model_encoder_layers_0_mlp_fc1"), "alpha"),
        (
            "text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_linear_layer.up.weight",
            LayerName("te", "text_model_encoder_layers_0_self_attn_q_proj"),
            "up",
        ),
    ],
)  # fmt: skip
def test_names(name: str, layer: LayerName, role: str) -> None:
    assert parse(name) == (layer, role)


@pytest.mark.parametrize(
    "name", ["", "alpha", "emb_params", "lora_unet_a.lora_up", "x.lora_A.bias", "a.lora_up.weight.b"]
)
def test_other_names(name: str) -> None:
    assert parse(name) is None


def test_embeddings_inside_of_a_file_are_kept_apart() -> None:
    stored = ["bundle_emb.word.string_to_param.*", "bundle_emb.pair.clip_l", "bundle_emb.pair.clip_g"]
    info = TensorInfo((1, 8), "F32")
    contents = contents_of(Header(Path("x"), dict.fromkeys(stored, info), {}))
    assert contents.bundled == {"word": {"*": stored[0]}, "pair": {"clip_l": stored[1], "clip_g": stored[2]}}
    assert not contents.layers
