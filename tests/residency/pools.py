"""Pools of toy models on machines of any size."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from modules.domain.plan import ResolvedModel
from modules.families import identify_files
from modules.families.family import Build, Components, Files, Match
from modules.families.toy.checkpoint import make_toy_checkpoint
from modules.families.toy.family import TOY
from modules.nn.attention.plain import PLAIN
from modules.nn.ops import PLAIN_OPS
from modules.residency.device import DevicePolicy, Offload
from modules.residency.keeping import Keeping
from modules.residency.memory import Change
from modules.residency.pool import Pool
from modules.residency.resident import Where

FULL = torch.float32
CARD = torch.device("meta")
"""Stands for a graphics card: a device that is not the CPU. It computes nothing, so only places can be looked at."""
GIB = 1 << 30


def wanted(path: Path, vae: Path | None = None) -> ResolvedModel:
    """Name the files of a model."""
    return ResolvedModel(checkpoint=path, name=path.stem, short_hash=None, vae=vae, vae_hash=None)


class Counting:
    """The toy family, whose loads are counted."""

    label = "Toy"

    def __init__(self, loads: list[str]) -> None:
        self._loads = loads

    def load(self, files: Files, match: Match, build: Build) -> Components:
        """Load a model."""
        self._loads.append(files.checkpoint.stem)
        return TOY.load(files, match, build)

    def load_vae(self, files: Files, match: Match, build: Build) -> nn.Module:
        """Load a VAE."""
        self._loads.append(f"VAE of {(files.vae or files.checkpoint).stem}")
        return TOY.load_vae(files, match, build)


class SmallMachine:
    """Memory of a stated size, in which nothing lies but the models of a pool."""

    def __init__(self, ram: int, card: int, present: Callable[[Where], int]) -> None:
        self.ram, self.card, self._present = ram, card, present

    def free_ram(self) -> int:
        """Return what models leave."""
        return self.ram - self._present(Where.RAM)

    def free_device(self) -> int:
        """Return what models leave of the card."""
        return self.card - self._present(Where.DEVICE)

    def to_ram(self) -> Change:
        """Make up the numbers of what comes from the card, which has none."""
        return lambda tensor: torch.zeros_like(tensor, device="cpu") if tensor.device == CARD else tensor

    def to_device(self) -> Change:
        """Drop the numbers."""
        return lambda tensor: tensor.to(CARD)


class Stock:
    """A pool, its loads, and checkpoints named by letters.

    Args:
        folder: for the files.
        ram: bytes of main memory.
        card: bytes of the graphics card's; None for a machine without one.
        offload: what the command line asks for.
        keeping: what the settings say.
    """

    def __init__(
        self,
        folder: Path,
        *,
        ram: int = GIB,
        card: int | None = None,
        offload: Offload = Offload.NONE,
        keeping: Keeping | None = None,
    ) -> None:
        self.folder, self.loads, self.keeping = folder, list[str](), keeping or Keeping()
        device = torch.device("cpu") if card is None else CARD
        policy = DevicePolicy(device=device, dtype=FULL, text_dtype=FULL, vae_dtype=FULL, offload=offload)
        self.machine = SmallMachine(ram, card or 0, self._taken)
        self.pool = Pool(policy, self._find, PLAIN_OPS, keeping=lambda: self.keeping, memory=self.machine)  # pyright: ignore[reportArgumentType]
        self._has_card = card is not None
        self.notes: list[str] = []

    def path(self, letter: str) -> Path:
        """Return a checkpoint, made when it is first asked for."""
        path = self.folder / f"{letter}.safetensors"
        return path if path.exists() else make_toy_checkpoint(path, ord(letter[0]))

    def use(self, letters: str) -> None:
        """Work with one model after another."""
        for letter in letters:
            with self.pool.lease(wanted(self.path(letter)), PLAIN, self.notes.append):
                pass

    @property
    def there(self) -> str:
        """The models in memory, the last used first, in capitals where they lie on the card."""
        return "".join(
            one.name.upper() if self._has_card and one.where is Where.DEVICE else one.name
            for one in self.pool.present()
        )

    def _taken(self, where: Where) -> int:
        return sum(one.num_bytes for one in self.pool.present() if not self._has_card or one.where is where)

    def _find(self, files: Files) -> tuple[Counting, Match]:
        _, match = identify_files(files)
        return Counting(self.loads), match


def outputs(components: Components) -> Tensor:
    """Return what tells a toy model from every other: numbers that all of its networks took part in."""
    x, t = torch.linspace(-1, 1, 64).view(1, 4, 4, 4), torch.tensor([500.0])
    with torch.inference_mode():
        tokens = components.text(torch.arange(77)[None])
        noise = components.unet(x, t, tokens)
        return TOY.decode(components, noise, False)
