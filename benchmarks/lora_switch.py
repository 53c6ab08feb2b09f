"""Measure the change to another LoRA: from its file to the first step with it, and back, beside diffusers with peft.

    python -m benchmarks.lora_switch [--layout sd1] [--width 320] [--rank 32] [--latent 8] [--rounds 3] [--dtype float32]

Both programs hold the same random weights and read the same file, a LoRA for every projection of the attentions. The
peer is measured in its two ways: merged into the weights, and computed beside them. Files are in memory already.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.layouts import LAYOUTS, diffusers
from benchmarks.measure import Result, in_turns, one_thread, parser_of, ratio, show, significant, summary
from benchmarks.unet_step import inputs, unets

GOAL_SWITCH_S = 0.25
"""For rank 32 on the 128 projections of Stable Diffusion 1.5 in float32 on one thread."""
PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0")


def write_lora(unet: Any, path: Path, *, rank: int, seed: int) -> int:
    """Write a LoRA for our UNet's attentions under PEFT's names; return how many projections it has."""
    import torch
    from safetensors.torch import save_file

    from modules.families.diffusers_keys import unet_pairs

    generator, made = torch.Generator().manual_seed(seed), {}
    shapes = {name: tensor.shape for name, tensor in unet.state_dict().items()}
    for pair in unet_pairs(shapes.keys()):
        stem = pair.diffusers[0].removesuffix(".weight")
        if ".attn" in stem and stem.endswith(PROJECTIONS) and pair.original.endswith(".weight"):
            rows, columns = shapes[pair.original]
            made[f"unet.{stem}.lora_A.weight"] = torch.randn(rank, columns, generator=generator)
            made[f"unet.{stem}.lora_B.weight"] = 0.01 * torch.randn(rows, rank, generator=generator)
    save_file(made, path)
    return len(made) // 2


@dataclass(kw_only=True)
class Ours:
    """Our UNet and what it wears."""

    unet: Any
    worn: Any
    keys: Any

    @classmethod
    def of(cls, unet: Any) -> "Ours":
        """Prepare, as loading a model does once."""
        from modules.families.key_map import unet_layers
        from modules.nn.patches.key_map import KeyMap
        from modules.nn.patches.worn import Worn

        return cls(unet=unet, worn=Worn(unet), keys=KeyMap(family="any", networks={"unet": unet_layers(unet)}))

    def switch(self, path: Path) -> None:
        """Read a file and merge it in the place of the last one."""
        from modules.adapters.lora.bind import Strength, bind, uses
        from modules.adapters.lora.file import read_lora

        def shape_of(_part: str, name: str) -> tuple[int, ...]:
            return tuple(self.unet.get_parameter(name).shape)

        layers: dict[str, list[Any]] = {}
        for _, name, use in uses(bind(read_lora(path), self.keys, shape_of), Strength(), path):
            layers.setdefault(name, []).append(use)
        self.worn.wear(layers)

    def take_off(self) -> None:
        """Give the network its own weights back."""
        self.worn.wear({})


@dataclass(kw_only=True)
class Peer:
    """diffusers' UNet with peft."""

    unet: Any
    merged: bool
    name: str = ""

    def switch(self, path: Path) -> None:
        """Read a file and use it in the place of the last one."""
        from safetensors.torch import load_file

        self.take_off()
        self.name = path.stem
        self.unet.load_lora_adapter(load_file(path), prefix="unet", adapter_name=self.name)
        if self.merged:
            self.unet.fuse_lora(adapter_names=[self.name])

    def take_off(self) -> None:
        """Remove the last one."""
        if self.name:
            if self.merged:
                self.unet.unfuse_lora()
            self.unet.unload_lora()
            self.name = ""


def alternately(user: Ours | Peer, paths: list[Path], step: Callable[[], object] | None = None) -> Callable[[], None]:
    """Return what changes to the other of two LoRAs each time, and runs a step if there is one."""
    state = {"next": 0}

    def call() -> None:
        user.switch(paths[state["next"]])
        state["next"] = 1 - state["next"]
        if step is not None:
            step()

    return call


def measure(layout: str, width: int, rank: int, latent: int, rounds: int, dtype: str) -> Result:
    """Compare."""
    import torch

    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        unet, peer_unet = unets(layout, width, dtype=getattr(torch, dtype))
        told = inputs(layout, width, 1, latent, dtype=getattr(torch, dtype))
        paths = [Path(folder) / f"{name}.safetensors" for name in ("one", "two")]
        counts = {write_lora(unet, path, rank=rank, seed=seed) for seed, path in enumerate(paths)}
        before = {name: value.clone() for name, value in unet.state_dict().items()}
        users: dict[str, Any] = {"ours": Ours.of(unet)}
        if peer_unet is not None:  # with weights of its own, since peft writes to them
            weights = {name: value.clone() for name, value in peer_unet.state_dict().items()}
            peer_unet.load_state_dict(weights, assign=True)
            users |= {"peft, merged": Peer(unet=peer_unet, merged=True)}
        result: Result = {"layout": layout, "width": width, "projections": max(counts), "rank": rank}
        result["goal_s"] = GOAL_SWITCH_S
        for part in ("switch", "first_step"):
            calls = {
                name: alternately(user, paths, _step(told, user) if part == "first_step" else None)
                for name, user in users.items()
            }
            result[part] = _told(in_turns(calls, rounds), "ours")
        for user in users.values():
            user.take_off()
        result["restored_exactly"] = all(value.equal(before[name]) for name, value in unet.state_dict().items())
        if peer_unet is not None:
            beside = Peer(unet=peer_unet, merged=False)
            calls = {"ours": alternately(users["ours"], paths, _step(told, users["ours"]))}
            calls |= {"peft, beside": alternately(beside, paths, _step(told, beside))}
            result["first_step_beside"] = _told(in_turns(calls, rounds), "ours")
            result["relative_difference"] = _difference(told, users["ours"], beside, paths[0])
    return result


def _step(told: Any, user: Any) -> Callable[[], object]:
    return lambda: told.call(user.unet) if isinstance(user, Ours) else told.call_peer(user.unet)


def _told(seconds: dict[str, list[float]], own: str) -> Result:
    found: Result = {name: {"s": summary(values)} for name, values in seconds.items()}
    for name, values in seconds.items():
        if name != own:
            found[f"{own}/{name}"] = ratio(seconds[own], values)
    return found


def _difference(told: Any, ours: Ours, peer: Peer, path: Path) -> float:
    ours.switch(path)
    peer.switch(path)
    a, b = told.call(ours.unet), told.call_peer(peer.unet)
    return significant(float((a - b).norm() / b.norm()), 2)


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument("--layout", choices=LAYOUTS, default="sd1")
    parser.add_argument("--width", type=int, default=320, help="first width of the UNet; 320 is the published one")
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--latent", type=int, default=8, help="side of the latent of the first step")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    asked = parser.parse_args()
    one_thread()
    if diffusers() is not None:
        import warnings

        warnings.filterwarnings("ignore")
    show(measure(asked.layout, asked.width, asked.rank, asked.latent, asked.rounds, asked.dtype))


if __name__ == "__main__":
    main()
