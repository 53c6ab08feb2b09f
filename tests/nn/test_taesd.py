"""The small networks: names and shapes of the published files, and results of a second implementation."""

import gzip
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from modules.nn.approx_decoder import ApproxDecoder
from modules.nn.taesd import tiny_decoder, tiny_encoder
from modules.nn.torchvision_guard import ensure_torchvision_importable


def filled(network: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    for tensor in network.state_dict().values():
        tensor.copy_(torch.randn(tensor.shape, generator=generator) * (1.4 / tensor[0].numel() ** 0.5))
    return network.eval()


@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("taesd_encoder", tiny_encoder()),
        ("taesd_decoder", tiny_decoder()),
        ("taesd3-taef1_encoder", tiny_encoder(16)),
        ("taesd3-taef1_decoder", tiny_decoder(16)),
        ("vae-approx", ApproxDecoder()),
    ],
)
def test_names_and_shapes_are_those_of_the_files(name: str, network: nn.Module, shared_dir: Path):
    data = (shared_dir / "manifests" / "vae" / f"{name}.json.gz").read_bytes()
    stored = {key: shape for key, (shape, _) in json.loads(gzip.decompress(data))["tensors"].items()}
    assert {key: list(tensor.shape) for key, tensor in network.state_dict().items()} == stored


def test_both_halves_compute_what_diffusers_does():
    ensure_torchvision_importable()
    from diffusers import AutoencoderTiny  # pyright: ignore[reportPrivateImportUsage]

    theirs = AutoencoderTiny().eval()
    encoder, decoder = filled(tiny_encoder()), filled(tiny_decoder())
    theirs.encoder.load_state_dict({f"layers.{name}": value for name, value in encoder.state_dict().items()})
    shifted = {  # there the soft clamp is no layer of its own
        f"layers.{int(number) - 1}.{rest}": value
        for name, value in decoder.state_dict().items()
        for number, _, rest in [name.partition(".")]
    }
    theirs.decoder.load_state_dict(shifted)
    picture = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(1))
    latent = torch.randn(2, 4, 3, 2, generator=torch.Generator().manual_seed(2)) * 4
    with torch.inference_mode():
        torch.testing.assert_close(encoder(picture), theirs.encode(picture * 2 - 1, return_dict=False)[0])
        torch.testing.assert_close(decoder(latent) * 2 - 1, theirs.decode(latent, return_dict=False)[0])


def test_the_preview_network_doubles_the_size():
    network = filled(ApproxDecoder())
    with torch.inference_mode():
        made = network(torch.randn(2, 4, 5, 7))
    assert made.shape == (2, 3, 10, 14)
