"""Measure one call of the UNet and one of the VAE decoder of Stable Diffusion 1.5, beside diffusers.

    python -m benchmarks.unet_step [--latent 32] [--batch 1] [--rounds 5] [--width 320]

Both programs hold the same random weights in float32 and get the same inputs; their outputs are compared. The floor is
the time that the multiplications alone take at the speed of one large matrix product on the same thread.
"""

import importlib
import importlib.util
import math
import warnings
from collections.abc import Callable
from typing import Any

from benchmarks.measure import (
    Result,
    in_turns,
    one_thread,
    parser_of,
    peak_rss_mb,
    ratio,
    show,
    significant,
    summary,
    thread_s,
)

GOAL_UNET, GOAL_VAE = 1.0, 0.91
CONTEXT = 768


def random_weights(module: Any, seed: int) -> Any:
    """Give a network built on the meta device weights under which signals keep their size."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, tensor in module.state_dict().items():
        if tensor.ndim == 1:
            weights[name] = torch.zeros(tensor.shape) if name.endswith("bias") else torch.ones(tensor.shape)
        else:
            bound = math.sqrt(3 / tensor[0].numel())
            weights[name] = torch.empty(tensor.shape).uniform_(-bound, bound, generator=generator)
    module.load_state_dict(weights, assign=True)
    return module.eval().requires_grad_(False)


def on_meta(make: Callable[[], Any]) -> Any:
    """Build a network without memory."""
    import torch

    with torch.device("meta"):
        return make()


def matrix_gflops() -> float:
    """Speed of one large float32 matrix product on this thread, in 1e9 operations per second."""
    import torch

    size = 2048
    a, b = torch.randn(2, size, size)
    torch.mm(a, b)
    return 2 * size**3 / min(thread_s(lambda: torch.mm(a, b)) for _ in range(5)) / 1e9


def gflop(call: Callable[[], object]) -> float:
    """Operations of one call, in 1e9."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / 1e9


def unets(width: int) -> tuple[Any, Any]:
    """Return our UNet and diffusers' (None when it is not installed); they share their weights."""
    from modules.families.sd1.network import UNet, UNetConfig

    own = random_weights(on_meta(lambda: UNet(UNetConfig(model_channels=width, context_dim=CONTEXT))), seed=1)
    diffusers = _diffusers()
    if diffusers is None:
        return own, None
    from tests.families.compvis import unet_name

    peer = on_meta(
        lambda: diffusers.UNet2DConditionModel(
            block_out_channels=tuple(width * mult for mult in (1, 2, 4, 4)),
            cross_attention_dim=CONTEXT,
            attention_head_dim=8,
        )
    )
    weights = {unet_name(name, 2): tensor for name, tensor in own.state_dict().items()}
    peer.load_state_dict(weights, assign=True)
    return own, peer.eval().requires_grad_(False)


def vaes(width: int) -> tuple[Any, Any]:
    """Return our VAE in the layout it is loaded in, and diffusers' with the same weights."""
    import torch

    from modules.families.sd1.vae import VAE, VAEConfig

    own = random_weights(on_meta(lambda: VAE(VAEConfig(channels=width))), seed=2)
    diffusers = _diffusers()
    peer = None
    if diffusers is not None:
        from tests.families.compvis import vae_name

        widths = tuple(width * mult for mult in (1, 2, 4, 4))
        peer = on_meta(
            lambda: diffusers.AutoencoderKL(
                block_out_channels=widths,
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
                layers_per_block=2,
            )
        )
        weights = {vae_name(name, 4): tensor for name, tensor in own.state_dict().items()}
        expected = peer.state_dict()
        peer.load_state_dict({n: t.reshape(expected[n].shape) for n, t in weights.items()}, assign=True)
        peer.eval().requires_grad_(False)
    return own.to(memory_format=torch.channels_last), peer


def _diffusers() -> Any:
    if importlib.util.find_spec("diffusers") is None:
        return None
    from modules.nn.torchvision_guard import ensure_torchvision_importable

    ensure_torchvision_importable()
    return importlib.import_module("diffusers")


def compare(own: Callable[[], Any], peer: Callable[[], Any] | None, rounds: int, speed: float) -> Result:
    """Time two calls in turns and compare what they return."""
    work = gflop(own)
    calls = {"ours": own} | ({"diffusers": peer} if peer else {})
    seconds = in_turns(calls, rounds)
    found: Result = {name: {"s": summary(values)} for name, values in seconds.items()}
    found["gflop"] = significant(work)
    found["ours/floor"] = significant(min(seconds["ours"]) * speed / work)
    if peer:
        a, b = own(), peer()
        found["ours/diffusers"] = ratio(seconds["ours"], seconds["diffusers"])
        found["relative_difference"] = significant(float((a - b).norm() / b.norm()), 2)
    return found


def measure(latent: int, batch: int, rounds: int, width: int, vae_width: int, parts: tuple[str, ...]) -> Result:
    """Time UNet and decoder at one size."""
    one_thread()
    import torch

    speed = matrix_gflops()
    result: Result = {"latent": latent, "batch": batch, "matrix_gflops": significant(speed)}
    generator = torch.Generator().manual_seed(3)

    def normal(*shape: int) -> Any:
        return torch.randn(shape, generator=generator)

    x, t, context = normal(batch, 4, latent, latent), torch.full((batch,), 500.5), normal(batch, 77, CONTEXT)
    with torch.inference_mode():
        if "unet" in parts:
            unet, their_unet = unets(width)
            theirs = (lambda: their_unet(x, t, context, return_dict=False)[0]) if their_unet else None
            result["unet"] = {"goal": GOAL_UNET} | compare(lambda: unet(x, t, context), theirs, rounds, speed)
            del unet, their_unet
        if "vae" in parts:
            vae, their_vae = vaes(vae_width)
            z = x[:1]
            theirs = (lambda: their_vae.decode(z, return_dict=False)[0]) if their_vae else None
            result["vae_decode"] = {"goal": GOAL_VAE} | compare(lambda: vae.decode(z), theirs, rounds, speed)
    return result | {"peak_rss_mb": peak_rss_mb()}


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument("--latent", type=int, default=32, help="side of the latent; 64 makes pictures of 512 pixels")
    parser.add_argument("--batch", type=int, default=1, help="rows of the UNet; 2 is one picture with guidance")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--width", type=int, default=320, help="first width of the UNet, a multiple of 32")
    parser.add_argument("--vae-width", type=int, default=128, help="first width of the VAE, a multiple of 32")
    parser.add_argument("--parts", nargs="+", default=["unet", "vae"], choices=["unet", "vae"])
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    show(measure(asked.latent, asked.batch, asked.rounds, asked.width, asked.vae_width, tuple(asked.parts)))


if __name__ == "__main__":
    main()
