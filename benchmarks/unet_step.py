"""Measure one call of the UNet and one of the VAE decoder of Stable Diffusion 1.5 or XL, beside diffusers.

    python -m benchmarks.unet_step [--layout sd1] [--latent 32] [--batch 1] [--rounds 5] [--width 320] [--dtype float32]

Both programs hold the same random weights and get the same inputs; their outputs are compared. The floor is
the time that the multiplications alone take at the speed of one large matrix product on the same thread.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.layouts import LAYOUTS, TOLD, diffusers, diffusers_unet, diffusers_vae, unet_config, vae_config
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


def random_weights(module: Any, seed: int, *, device: str = "cpu", dtype: Any = None) -> Any:
    """Give a network built on the meta device weights under which signals keep their size."""
    import torch

    generator = torch.Generator(device).manual_seed(seed)
    weights = {}
    for name, tensor in module.state_dict().items():
        if tensor.ndim == 1:
            made = torch.zeros(tensor.shape) if name.endswith("bias") else torch.ones(tensor.shape)
            weights[name] = made.to(device, dtype or torch.float32)
        else:
            bound = math.sqrt(3 / tensor[0].numel())
            empty = torch.empty(tensor.shape, device=device, dtype=dtype or torch.float32)
            weights[name] = empty.uniform_(-bound, bound, generator=generator)
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


def unets(layout: str, width: int, *, device: str = "cpu", dtype: Any = None) -> tuple[Any, Any]:
    """Return our UNet and diffusers' (None when it is not installed); they share their weights."""
    from modules.families.sd1.network import UNet

    own = on_meta(lambda: UNet(unet_config(layout, width)))
    random_weights(own, seed=1, device=device, dtype=dtype)
    if diffusers() is None:
        return own, None
    from tests.families.compvis import unet_name

    peer = on_meta(lambda: diffusers_unet(layout, width))
    weights = {unet_name(name, 2): tensor for name, tensor in own.state_dict().items()}
    peer.load_state_dict(weights, assign=True)
    return own, peer.eval().requires_grad_(False)


def vaes(width: int, *, device: str = "cpu", dtype: Any = None) -> tuple[Any, Any]:
    """Return our VAE in the layout it is loaded in, and diffusers' with the same weights."""
    import torch

    from modules.families.sd1.vae import VAE

    own = on_meta(lambda: VAE(vae_config(width)))
    random_weights(own, seed=2, device=device, dtype=dtype)
    peer = None
    if diffusers() is not None:
        from tests.families.compvis import vae_name

        peer = on_meta(lambda: diffusers_vae(width))
        weights = {vae_name(name, 4): tensor for name, tensor in own.state_dict().items()}
        expected = peer.state_dict()
        peer.load_state_dict({n: t.reshape(expected[n].shape) for n, t in weights.items()}, assign=True)
        peer.eval().requires_grad_(False)
    return own.to(memory_format=torch.channels_last) if device == "cpu" else own, peer


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a UNet of one layout is called with, for both programs."""

    x: Any
    t: Any
    context: Any
    y: Any = None
    told: Any = None
    """The same as `y`, in the form in which diffusers is told it."""

    def call(self, unet: Any) -> Any:
        """Call ours."""
        return unet(self.x, self.t, self.context, self.y)

    def call_peer(self, unet: Any) -> Any:
        """Call diffusers'."""
        return unet(self.x, self.t, self.context, added_cond_kwargs=self.told, return_dict=False)[0]


def inputs(layout: str, width: int, batch: int, latent: int, *, device: str = "cpu", dtype: Any = None) -> Inputs:
    """Make random inputs."""
    import torch

    sizes, generator = unet_config(layout, width), torch.Generator().manual_seed(3)

    def normal(*shape: int) -> Any:
        return torch.randn(shape, generator=generator).to(device, dtype)

    x, context = normal(batch, 4, latent, latent), normal(batch, 77, sizes.context_dim)
    t = torch.full((batch,), 500.5, device=device)
    if layout == "sd1":
        return Inputs(x=x, t=t, context=context)
    from modules.families.sdxl.text import embedded_numbers

    pooled, side = normal(batch, sizes.vector_dim - TOLD), 8.0 * latent
    numbers = (side, side, 0.0, 0.0, side, side)
    embedded = embedded_numbers(numbers, torch.device(device)).to(x.dtype).expand(batch, -1)
    told = {"text_embeds": pooled, "time_ids": torch.tensor([numbers] * batch, device=device)}
    return Inputs(x=x, t=t, context=context, y=torch.cat([pooled, embedded], dim=1), told=told)


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


def measure(
    layout: str, latent: int, batch: int, rounds: int, width: int, vae_width: int, dtype: str, parts: tuple[str, ...]
) -> Result:
    """Time UNet and decoder at one size."""
    one_thread()
    import torch

    speed, kind = matrix_gflops(), getattr(torch, dtype)
    result: Result = {"layout": layout, "dtype": dtype, "latent": latent, "batch": batch}
    result["matrix_gflops"] = significant(speed)
    given = inputs(layout, width, batch, latent, dtype=kind)
    with torch.inference_mode():
        if "unet" in parts:
            unet, their_unet = unets(layout, width, dtype=kind)
            theirs = partial(given.call_peer, their_unet) if their_unet else None
            result["unet"] = {"goal": GOAL_UNET} | compare(partial(given.call, unet), theirs, rounds, speed)
            del unet, their_unet, theirs
        if "vae" in parts:
            vae, their_vae = vaes(vae_width, dtype=kind)
            z = given.x[:1]
            theirs = (lambda: their_vae.decode(z, return_dict=False)[0]) if their_vae else None
            result["vae_decode"] = {"goal": GOAL_VAE} | compare(lambda: vae.decode(z), theirs, rounds, speed)
    return result | {"peak_rss_mb": peak_rss_mb()}


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument("--layout", default="sd1", choices=list(LAYOUTS))
    parser.add_argument("--latent", type=int, default=32, help="side of the latent; 64 makes pictures of 512 pixels")
    parser.add_argument("--batch", type=int, default=1, help="rows of the UNet; 2 is one picture with guidance")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--width", type=int, default=320, help="first width of the UNet, a multiple of 32")
    parser.add_argument("--vae-width", type=int, default=320, help="as --width: 320 makes the full VAE")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--parts", nargs="+", default=["unet", "vae"], choices=["unet", "vae"])
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    sizes = (asked.latent, asked.batch, asked.rounds, asked.width, asked.vae_width)
    show(measure(asked.layout, *sizes, asked.dtype, tuple(asked.parts)))


if __name__ == "__main__":
    main()
