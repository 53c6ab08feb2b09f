"""Command line: `python -m modules.training.networks lora | embedding`."""

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import torch

from modules.domain.errors import InvalidRequest, WebuiError
from modules.families import identify
from modules.families.family import Build, Components, Files
from modules.families.sidecar import read_sidecar
from modules.files import atomic
from modules.hooks.cancel import CancelReason, CancelToken
from modules.hooks.context import JobContext
from modules.library.hashes import file_sha256
from modules.library.header import read_header
from modules.nn.ops import PLAIN_OPS
from modules.settings.snapshot import Snapshot
from modules.training.networks.concept import zorp_examples
from modules.training.networks.embedding import EmbeddingWish, train_embedding
from modules.training.networks.examples import Examples, read_folder
from modules.training.networks.layers import LoraSizes
from modules.training.networks.lora import LoraWish, train_lora
from modules.training.networks.train import Course
from modules.training.shapes.precision import attend

logger = logging.getLogger("networks")

SHIPPED = Path("models/Stable-diffusion/shapes-v1.safetensors")
WORD = "zorp"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="python -m modules.training.networks", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    lora = commands.add_parser("lora", help="train a LoRA", parents=[_common(1000)])
    lora.add_argument("--rank", type=int, default=8)
    lora.add_argument("--alpha", type=float, help="default: the rank")
    lora.add_argument("--conv-rank", type=int, default=0, help="rank of 3x3 convolutions; 0 leaves them alone")
    lora.add_argument("--conv-alpha", type=float, default=1.0)
    lora.add_argument("--no-unet", action="store_true")
    lora.add_argument("--no-text", action="store_true")
    lora.add_argument("--only", default="", help="regular expression found in the names of layers to change")
    lora.add_argument("--lr", type=float, default=1e-3, help="highest learning rate in the UNet")
    lora.add_argument("--text-lr", type=float, default=5e-4, help="highest learning rate in text encoders")
    embedding = commands.add_parser("embedding", help="train an embedding", parents=[_common(1000)])
    embedding.add_argument("--vectors", type=int, default=4)
    embedding.add_argument("--start", default="*", help="text whose tokens the vectors begin as")
    embedding.add_argument("--lr", type=float, default=5e-3)
    return top


def _common(steps: int) -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("out", type=Path, help="file to write; its name without ending is what prompts say")
    shared.add_argument("--checkpoint", type=Path, default=SHIPPED)
    shared.add_argument("--pictures", type=Path, help="folder to learn from (default: drawn zorps)")
    shared.add_argument("--template", default="[filewords]", help="captions of pictures, with [name] and [filewords]")
    shared.add_argument("--size", type=int, nargs=2, default=(512, 512), metavar=("WIDTH", "HEIGHT"))
    shared.add_argument("--drawn", type=int, default=512, help="zorps to draw")
    shared.add_argument("--ordinary", type=float, default=0.0, help="share of drawn pictures without a zorp")
    shared.add_argument("--steps", type=int, default=steps)
    shared.add_argument("--batch", type=int, default=16)
    shared.add_argument("--seed", type=int, default=0)
    shared.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return shared


def main(argv: Sequence[str] | None = None) -> int:
    """Train; returns the exit status, 1 when it cannot be done. Ctrl+C ends training and writes what was learned."""
    args = parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    cancel = CancelToken()

    def end(_signal: int, _frame: FrameType | None) -> None:
        cancel.set(CancelReason.INTERRUPT)

    before = signal.signal(signal.SIGINT, end)
    try:
        atomic.write(
            args.out,
            _trained(args, JobContext(job_id="train", settings=Snapshot(), emit=lambda _event: None, cancel=cancel)),
        )
    except WebuiError as error:
        logger.error("%s", error)
        return 1
    finally:
        signal.signal(signal.SIGINT, before)
    logger.info("written: %s, %.1f KB", args.out, args.out.stat().st_size / 1000)
    return 0


def _trained(args: argparse.Namespace, ctx: JobContext) -> bytes:
    if args.out.suffix not in ((".safetensors",) if args.command == "lora" else (".safetensors", ".pt")):
        raise InvalidRequest(f"{args.out.name} does not end in .safetensors", field="out")
    model = load(args.checkpoint, torch.device(args.device))
    name, course = args.out.stem, Course(steps=args.steps, batch=args.batch, seed=args.seed)
    base = {"base_name": args.checkpoint.stem, "base_hash": file_sha256(args.checkpoint) or ""}
    if args.command == "lora":
        sizes = LoraSizes(
            rank=args.rank, alpha=args.alpha if args.alpha is not None else args.rank, conv_rank=args.conv_rank,
            conv_alpha=args.conv_alpha, unet=not args.no_unet, text=not args.no_text, only=args.only,
        )  # fmt: skip
        trigger = "" if args.pictures else WORD
        wish = LoraWish(
            name=name, sizes=sizes, course=course, unet_lr=args.lr, text_lr=args.text_lr, trigger=trigger, **base
        )
        return train_lora(model, _examples(args, model, WORD), wish, ctx).packed()
    asked = EmbeddingWish(name=name, course=course, vectors=args.vectors, lr=args.lr, start=args.start, **base)
    made = train_embedding(model, _examples(args, model, name), asked, ctx)
    return made.pickled() if args.out.suffix == ".pt" else made.packed()


def _examples(args: argparse.Namespace, model: Components, word: str) -> Examples:
    if args.pictures:
        return read_folder(model, args.pictures, tuple(args.size), args.template, args.out.stem)
    return zorp_examples(model, args.drawn, word, args.seed, args.ordinary)


def load(path: Path, device: torch.device) -> Components:
    """Load a checkpoint to be trained on, in float32.

    Raises:
        ModelError: the file cannot be used.
    """
    config = path.with_suffix(".yaml")
    config = config if config.exists() else None
    family, match = identify(read_header(path), read_sidecar(config))
    wide = torch.float32
    build = Build(ops=PLAIN_OPS, attend=attend, device=device, dtype=wide, text_dtype=wide, vae_dtype=wide)
    return family.load(Files(checkpoint=path, config=config), match, build)


if __name__ == "__main__":
    sys.exit(main())
