"""Train a LoRA, and write it as kohya's trainer does."""

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from modules.families.family import Components
from modules.hooks.context import JobContext
from modules.training.networks.branches import Branch, attached, branches_for
from modules.training.networks.examples import Examples
from modules.training.networks.layers import LoraSizes, layers_of
from modules.training.networks.packing import data_hash, packed
from modules.training.networks.train import Course, Learned, train

_ARCHITECTURES: Mapping[tuple[str, str], tuple[str, str]] = {
    ("sd1", "eps"): ("sd_v1", "stable-diffusion-v1"),
    ("sd2", "eps"): ("sd_v2", "stable-diffusion-v2-512"),
    ("sd2", "v"): ("sd_v2_768_v", "stable-diffusion-v2-768-v"),
    ("sdxl", "eps"): ("sdxl_base_v1-0", "stable-diffusion-xl-v1-base"),
}
"""(lineage, what it predicts) -> kohya's name of the base model, its name in the specification of model metadata."""
_PREDICTIONS = {"eps": "epsilon", "v": "v"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraWish:
    """What LoRA to train."""

    name: str
    """Of the file, without ending; prompts call it so."""
    sizes: LoraSizes
    course: Course
    unet_lr: float = 1e-3
    text_lr: float = 5e-4
    trigger: str = ""
    """Word by which captions call what is new."""
    base_name: str = ""
    """File name of the checkpoint."""
    base_hash: str = ""
    """Its SHA-256."""


class LoraLearner:
    """The branches of a LoRA.

    Args:
        branches: as `branches_for` makes them.
        unet_lr: highest learning rate of branches in the UNet.
        text_lr: the same in text encoders.
    """

    def __init__(self, branches: Sequence[Branch], unet_lr: float, text_lr: float) -> None:
        self.branches, self._rates = branches, {"unet": unet_lr, "text": text_lr}

    def groups(self) -> list[dict[str, Any]]:
        """Return the parameters by network."""
        found = []
        for part, rate in self._rates.items():
            mine = [p for one in self.branches if one.layer.target.part == part for p in one.parameters()]
            if mine:
                found.append({"params": mine, "lr": rate, "weight_decay": 0.01})
        return found

    def within(self, model: Components) -> AbstractContextManager[None]:
        """Let the branches take part."""
        return attached(model, self.branches)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainedLora:
    """The result."""

    tensors: Mapping[str, Tensor]
    """float16, under kohya's names."""
    metadata: Mapping[str, str]
    learned: Learned

    def packed(self) -> bytes:
        """Return the `.safetensors` file."""
        return packed(self.tensors, self.metadata)


def train_lora(model: Components, examples: Examples, wish: LoraWish, ctx: JobContext) -> TrainedLora:
    """Train a LoRA; when the job is asked to end, what was learned until then is the result.

    Raises:
        InvalidRequest: the model cannot be trained on, or no layer is chosen.
        NumericalFault: the loss is no number.
    """
    branches = branches_for(model, layers_of(model, wish.sizes), wish.course.seed)
    learned = train(model, LoraLearner(branches, wish.unet_lr, wish.text_lr), examples, wish.course, ctx)
    tensors = lora_tensors(branches)
    return TrainedLora(tensors=tensors, metadata=_metadata(model, examples, wish, learned, tensors), learned=learned)


def lora_tensors(branches: Sequence[Branch]) -> dict[str, Tensor]:
    """Return the tensors of a file."""
    made = dict[str, Tensor]()
    for branch in branches:
        name = branch.layer.name
        made[f"{name}.alpha"] = torch.tensor(branch.layer.alpha, dtype=torch.float16)
        for which, tensor in (("down", branch.down), ("up", branch.up)):
            made[f"{name}.lora_{which}.weight"] = tensor.detach().to("cpu", torch.float16).contiguous()
    return made


def _metadata(
    model: Components, examples: Examples, wish: LoraWish, learned: Learned, tensors: Mapping[str, Tensor]
) -> dict[str, str]:
    """Describe a file. No dates: the same training gives the same file."""
    sizes, course, prediction = wish.sizes, wish.course, model.prediction.target.value
    base, architecture = _ARCHITECTURES.get((model.match.family, prediction), (model.match.family,) * 2)
    width, height = examples.size
    arguments = {"conv_dim": str(sizes.conv_rank), "conv_alpha": str(sizes.conv_alpha)} if sizes.conv_rank else {}
    facts: dict[str, object] = {
        "ss_network_module": "networks.lora",
        "ss_network_dim": sizes.rank,
        "ss_network_alpha": sizes.alpha,
        "ss_network_args": json.dumps(arguments),
        "ss_base_model_version": base,
        "ss_v2": model.match.family == "sd2",
        "ss_output_name": wish.name,
        "ss_sd_model_name": wish.base_name,
        "ss_new_sd_model_hash": wish.base_hash,
        "ss_unet_lr": wish.unet_lr if sizes.unet else None,
        "ss_text_encoder_lr": wish.text_lr if sizes.text else None,
        "ss_optimizer": "torch.optim.adamw.AdamW",
        "ss_lr_scheduler": "cosine",
        "ss_lr_warmup_steps": course.warmup_steps,
        "ss_caption_dropout_rate": course.dropped,
        "ss_seed": course.seed,
        "ss_steps": learned.steps,
        "ss_max_train_steps": course.steps,
        "ss_batch_size_per_device": course.batch,
        "ss_num_train_images": len(examples),
        "ss_resolution": f"({width}, {height})",
        "ss_tag_frequency": json.dumps({wish.trigger: {wish.trigger: len(examples)}} if wish.trigger else {}),
        "sshs_model_hash": data_hash(tensors),
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": f"{architecture}/lora",
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
        "modelspec.title": wish.name,
        "modelspec.resolution": f"{width}x{height}",
        "modelspec.prediction_type": _PREDICTIONS.get(prediction, prediction),
        "modelspec.trigger_phrase": wish.trigger,
    }
    return {name: str(value) for name, value in facts.items()}
