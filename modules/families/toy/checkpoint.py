"""Make a checkpoint of the toy family."""

from pathlib import Path

import torch
from torch import Tensor, nn

from modules.families.toy.networks import ToyText, ToyUNet, ToyVAE

ARCHITECTURE = "webui-toy"
"""Value of the metadata key `modelspec.architecture` that marks these files."""

PREFIXES = {"text": "cond_stage_model.", "unet": "model.diffusion_model.", "vae": "first_stage_model."}
"""Part -> prefix of its tensors in the file."""


def make_toy_checkpoint(path: Path, seed: int = 0) -> Path:
    """Write a checkpoint; equal seeds give equal files, different seeds different pictures.

    Args:
        path: a `.safetensors` file, replaced if it exists.
        seed: of the weights.

    Returns:
        The path.
    """
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(seed)
    parts: dict[str, nn.Module] = {"text": ToyText(), "unet": ToyUNet(), "vae": ToyVAE()}
    tensors = {
        PREFIXES[part] + name: _draw(name, tensor, generator)
        for part, module in parts.items()
        for name, tensor in module.state_dict().items()
    }
    save_file(tensors, path, metadata={"modelspec.architecture": ARCHITECTURE})
    return path


def _draw(name: str, like: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a tensor so that signals keep their size from layer to layer."""
    noise = torch.randn(like.shape, generator=generator)
    if "norm" in name:  # a bias of zero would leave a mean of zero, which emphasis divides by
        return 0.2 * noise + (1 if name.endswith("weight") else 0.2)
    if name.endswith("bias"):
        return 0.3 * noise
    fan_in = 1 if "embedding" in name else like[0].numel()
    return 1.5 * noise / fan_in**0.5
