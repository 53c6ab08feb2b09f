"""DPT-Hybrid against transformers' implementation, its residual network also against timm's."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor

from modules.nn.bit import ResidualNet
from modules.nn.midas import Midas, MidasConfig, midas_config
from modules.nn.torchvision_guard import ensure_torchvision_importable

SMALL = MidasConfig(
    stem=32, stages=((1, 128), (2, 256), (1, 384)), width=128, layers=8, mlp_width=160, positions=10, features=48,
    head=(24, 32),
)  # fmt: skip


def network() -> Midas:
    """A small network whose random weights let every part count."""
    torch.manual_seed(0)
    ours = Midas(SMALL).eval().requires_grad_(False)
    for parameter in ours.parameters():
        parameter.copy_(torch.randn(parameter.shape) * 0.2)
    return ours


def theirs_named(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """Turn one of our tensors into those of transformers."""
    if match := re.match(r"pretrained\.model\.blocks\.(\d+)\.attn\.qkv\.(\w+)", name):
        parts = dict(zip(("query", "key", "value"), tensor.chunk(3), strict=True))
        return {f"dpt.encoder.layer.{match[1]}.attention.attention.{k}.{match[2]}": t for k, t in parts.items()}
    for pattern, new in (
        (r"pretrained\.model\.(cls_token)", r"dpt.embeddings.\1"),
        (r"pretrained\.model\.pos_embed", r"dpt.embeddings.position_embeddings"),
        (r"pretrained\.model\.patch_embed\.proj", r"dpt.embeddings.projection"),
        (r"pretrained\.model\.patch_embed\.backbone\.stem\.conv", r"dpt.embeddings.backbone.bit.embedder.convolution"),
        (r"pretrained\.model\.patch_embed\.backbone\.stem\.norm", r"dpt.embeddings.backbone.bit.embedder.norm"),
        (r"pretrained\.model\.patch_embed\.backbone\.(stages\.\d)\.blocks", r"dpt.embeddings.backbone.bit.encoder.\1.layers"),
        (r"pretrained\.model\.blocks\.(\d+)\.attn\.proj", r"dpt.encoder.layer.\1.attention.output.dense"),
        (r"pretrained\.model\.blocks\.(\d+)\.norm1", r"dpt.encoder.layer.\1.layernorm_before"),
        (r"pretrained\.model\.blocks\.(\d+)\.norm2", r"dpt.encoder.layer.\1.layernorm_after"),
        (r"pretrained\.model\.blocks\.(\d+)\.mlp\.fc1", r"dpt.encoder.layer.\1.intermediate.dense"),
        (r"pretrained\.model\.blocks\.(\d+)\.mlp\.fc2", r"dpt.encoder.layer.\1.output.dense"),
        (r"pretrained\.act_postprocess(\d)\.0\.project\.0", lambda m: f"neck.reassemble_stage.readout_projects.{int(m[1]) - 1}.0"),
        (r"pretrained\.act_postprocess(\d)\.3", lambda m: f"neck.reassemble_stage.layers.{int(m[1]) - 1}.projection"),
        (r"pretrained\.act_postprocess(\d)\.4", lambda m: f"neck.reassemble_stage.layers.{int(m[1]) - 1}.resize"),
        (r"scratch\.layer(\d)_rn", lambda m: f"neck.convs.{int(m[1]) - 1}"),
        (r"scratch\.refinenet(\d)\.out_conv", lambda m: f"neck.fusion_stage.layers.{4 - int(m[1])}.projection"),
        (r"scratch\.refinenet(\d)\.resConfUnit(\d)\.conv(\d)",
         lambda m: f"neck.fusion_stage.layers.{4 - int(m[1])}.residual_layer{m[2]}.convolution{m[3]}"),
        (r"scratch\.output_conv", "head.head"),
    ):  # fmt: skip
        found, count = re.subn("^" + pattern, new, name)
        if count:
            return {found: tensor}
    raise AssertionError(name)


def theirs_of(ours: Midas) -> Any:
    """Build transformers' network with the same weights."""
    ensure_torchvision_importable()
    from transformers import BitConfig, DPTConfig, DPTForDepthEstimation

    widths = [width for _, width in SMALL.stages]
    config = DPTConfig(
        is_hybrid=True, hidden_size=SMALL.width, num_hidden_layers=SMALL.layers, num_attention_heads=SMALL.heads,
        intermediate_size=SMALL.mlp_width, image_size=[64, 96], layer_norm_eps=1e-6, fusion_hidden_size=SMALL.features,
        neck_hidden_sizes=[*widths[:2], SMALL.width, SMALL.width], reassemble_factors=[1, 1, 1, 0.5],
        backbone_featmap_shape=[1, widths[2], 3, 3], backbone_out_indices=[0, 1, 5, 7], add_projection=False,
        backbone_config=BitConfig(
            embedding_size=SMALL.stem, hidden_sizes=widths, depths=[count for count, _ in SMALL.stages],
            layer_type="bottleneck", global_padding="same", embedding_dynamic_padding=True,
            out_features=["stage1", "stage2", "stage3"],  # pyright: ignore[reportCallIssue]
        ),
    )  # fmt: skip
    theirs = DPTForDepthEstimation(config).eval()
    theirs.dpt.embeddings.position_embeddings = torch.nn.Parameter(torch.zeros(1, SMALL.positions, SMALL.width))
    tensors: dict[str, Tensor] = {}
    for name, tensor in ours.state_dict().items():
        tensors |= theirs_named(name, tensor)
    missing, unexpected = theirs.load_state_dict(tensors, strict=False)
    assert not unexpected
    # Both are in the public files too, and never run.
    assert all("layers.0.residual_layer1" in name or name.startswith("dpt.layernorm.") for name in missing)
    return theirs


def test_depth_equals_that_of_transformers(monkeypatch: pytest.MonkeyPatch):
    ours = network()
    theirs = theirs_of(ours)
    reassemble = theirs.neck.reassemble_stage.forward  # takes pictures for squares unless it is told
    monkeypatch.setattr(theirs.neck.reassemble_stage, "forward", lambda states, *_: reassemble(states, 4, 6))
    picture = torch.rand(2, 3, 64, 96) * 2 - 1
    with torch.inference_mode():
        depth, expected = ours(picture), theirs(picture).predicted_depth[:, None]
    assert expected.std() > 1
    torch.testing.assert_close(depth, expected, atol=1e-4 * float(expected.std()), rtol=1e-4)


@pytest.mark.parametrize("size", [(64, 96), (50, 70)])
def test_the_residual_network_equals_timms(size: tuple[int, int]):
    ensure_torchvision_importable()
    resnet = pytest.importorskip("timm.models.resnetv2")
    layers = pytest.importorskip("timm.layers")
    torch.manual_seed(1)
    ours = ResidualNet(SMALL.stem, SMALL.stages).eval()
    counts, widths = zip(*SMALL.stages, strict=True)
    theirs = resnet.ResNetV2(
        layers=list(counts), channels=list(widths), num_classes=0, global_pool="", preact=False, stem_type="same",
        stem_chs=SMALL.stem, conv_layer=layers.StdConv2dSame,
    ).eval()  # fmt: skip
    theirs.load_state_dict(ours.state_dict())
    picture = torch.randn(1, 3, *size)
    with torch.inference_mode():
        torch.testing.assert_close(ours(picture)[-1], theirs(picture), atol=1e-4, rtol=1e-4)


def test_sizes_are_told_from_shapes():
    with torch.device("meta"):
        found = Midas(SMALL).state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in found.items()}
    assert midas_config(shapes) == SMALL
    with pytest.raises(KeyError, match="cls_token"):
        midas_config({name: shape for name, shape in shapes.items() if "cls_token" not in name})
    with pytest.raises(KeyError, match=r"stages\.0"):
        midas_config({})


def test_only_multiples_of_32_fit():
    with pytest.raises(ValueError, match="multiples of 32"):
        network()(torch.zeros(1, 3, 64, 80))
