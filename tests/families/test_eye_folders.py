"""Folders of diffusers with a depth estimator or an image encoder: what looks at pictures is loaded with the rest."""

import json
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import nn

from modules.families import identify_files
from modules.families.depth import DepthEye
from modules.families.family import Components, Files
from modules.families.openclip_vision import prepared
from modules.families.sd1.network import UNet
from modules.families.sd2.unclip import EMBEDDING, ImageEye
from tests.families.diffusers_folders import quietly, save_folder
from tests.families.narrow_files import build


def randomised(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return module.eval().requires_grad_(False)


def save(folder: Path, **parts: Any) -> None:
    """Put further networks into a folder, in the place of those it has."""
    with quietly():
        for name, part in parts.items():
            part.save_pretrained(folder / name)


def narrow_unet(**more: Any) -> nn.Module:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=16, block_out_channels=(32, 64), down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2, layers_per_block=1, cross_attention_dim=24,
        attention_head_dim=4, use_linear_projection=True, norm_num_groups=8, **more,
    )  # fmt: skip


def loaded(folder: Path) -> Components:
    files = Files(checkpoint=folder)
    family, match = identify_files(files)
    return family.load(files, match, build("cpu"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_folder(tmp_path / "model", "sd2").folder


def test_the_depth_estimator_of_a_folder(folder: Path):
    with quietly():
        from transformers import BitConfig, DPTConfig, DPTForDepthEstimation

        unet = randomised(narrow_unet(in_channels=5))
        theirs = randomised(
            DPTForDepthEstimation(
                DPTConfig(
                    is_hybrid=True, hidden_size=64, num_hidden_layers=4, num_attention_heads=1, intermediate_size=48,
                    image_size=96, layer_norm_eps=1e-6, fusion_hidden_size=16, add_projection=False,
                    neck_hidden_sizes=[128, 128, 64, 64], reassemble_factors=[1, 1, 1, 0.5],
                    backbone_featmap_shape=[1, 128, 6, 6], backbone_out_indices=[0, 1, 2, 3],
                    backbone_config=BitConfig(
                        embedding_size=32, hidden_sizes=[128, 128, 128], depths=[1, 2, 1], layer_type="bottleneck",
                        global_padding="same", embedding_dynamic_padding=True,
                        out_features=["stage1", "stage2", "stage3"],  # pyright: ignore[reportCallIssue]
                    ),
                )
            )
        )  # fmt: skip
    save(folder, unet=unet, depth_estimator=theirs)
    model = loaded(folder)
    assert (model.match.family, model.match.variant) == ("sd2", "depth")
    assert isinstance(model.eye, DepthEye)
    picture = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        expected = cast(Any, theirs)(picture).predicted_depth[:, None]
        torch.testing.assert_close(
            model.eye.model(picture), expected, atol=1e-4 * float(expected.abs().max()), rtol=1e-4
        )


def test_the_image_encoder_of_a_folder(folder: Path):
    with quietly():
        from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer
        from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

        unet = randomised(narrow_unet(class_embed_type="projection", projection_class_embeddings_input_dim=40))
        encoder = randomised(
            CLIPVisionModelWithProjection(
                CLIPVisionConfig(
                    hidden_size=64, intermediate_size=80, projection_dim=20, num_hidden_layers=2, num_attention_heads=1,
                    image_size=12, patch_size=4, hidden_act="gelu",
                )
            )
        )  # fmt: skip
        statistics = randomised(StableUnCLIPImageNormalizer(20))
    save(folder, unet=unet, image_encoder=encoder, image_normalizer=statistics)
    schedule = folder / "scheduler" / "scheduler_config.json"
    schedule.write_text(json.dumps({**json.loads(schedule.read_text()), "prediction_type": "v_prediction"}))
    model = loaded(folder)
    assert (model.match.family, model.match.variant, model.match.prediction) == ("sd2", "unclip", "v")
    assert isinstance(model.eye, ImageEye)
    assert model.eye.statistics is not None
    assert torch.equal(model.eye.statistics[0], cast(Any, statistics).mean.flatten())
    assert torch.equal(model.eye.statistics[1], cast(Any, statistics).std.flatten())
    picture = torch.rand(2, 3, 40, 30, generator=torch.Generator().manual_seed(1)) * 2 - 1
    x, told = torch.randn(1, 4, 8, 8), torch.randn(1, 40)
    with torch.inference_mode():
        expected = cast(Any, encoder)(prepared(picture, 12)).image_embeds
        torch.testing.assert_close(model.eye.look(picture, (1, 1))[EMBEDDING], expected, atol=1e-4, rtol=1e-4)
        context, t = torch.randn(1, 7, 24), torch.tensor([5.0])
        theirs = cast(Any, unet)(x, t, context, class_labels=told).sample
        torch.testing.assert_close(cast(UNet, model.unet)(x, t, context, told), theirs, atol=1e-4, rtol=1e-4)
