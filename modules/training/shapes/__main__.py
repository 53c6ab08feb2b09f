"""Command line: `python -m modules.training.shapes draw | train | evaluate`."""

import argparse
import logging
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from modules.training.shapes.config import SHIPPED, TOY
from modules.training.shapes.evaluate import BARS, Wish, draw_sheet, evaluate, passes
from modules.training.shapes.loop import Budget, Plan
from modules.training.shapes.train import CPU_SCALE, STAGES, TOY_SCALE, Scale, Training

logger = logging.getLogger("shapes")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="python -m modules.training.shapes", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    drawing = commands.add_parser("draw", help="write a contact sheet of scenes with captions")
    drawing.add_argument("--out", type=Path, default=Path("scenes.png"))
    drawing.add_argument("--seed", type=int, default=0)
    train = commands.add_parser("train", help="train, and write the checkpoint into a folder")
    train.add_argument("--out", type=Path, required=True, help="folder of states and checkpoint")
    train.add_argument("--stage", choices=(*STAGES, "all"), default="all")
    train.add_argument("--minutes", type=_numbers, help="per stage, separated by commas: VAE, text, UNet")
    train.add_argument("--steps", type=_numbers, help="instead of minutes, in the same form")
    train.add_argument(
        "--stop-after", type=float, default=math.inf, help="minutes until saving and stopping, done or not"
    )
    train.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    train.add_argument("--resume", action="store_true", help="go on from the states in the folder")
    train.add_argument("--start-from", type=Path, help="a finished checkpoint whose weights are trained further")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--batch", type=int, help="samples per step of the UNet")
    train.add_argument("--compile", action="store_true", help="compile the UNet")
    train.add_argument("--toy", action="store_true", help="tiny networks, to try the whole way in seconds")
    measure = commands.add_parser("evaluate", help="render held-out captions and measure them")
    measure.add_argument("checkpoint", type=Path)
    measure.add_argument("--out", type=Path, help="folder of tables and pictures (default: beside the checkpoint)")
    measure.add_argument("--captions", type=int, default=500)
    measure.add_argument("--cfg", type=_numbers, default=[7.0])
    measure.add_argument("--judge-minutes", type=float, default=1.0)
    measure.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return top


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status, 1 when `evaluate` misses a bar."""
    began = time.monotonic()
    args = parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    match args.command:
        case "draw":
            draw_sheet(args.out, args.seed)
            return 0
        case "train":
            return _train(args, began)
        case _:
            return _evaluate(args)


def _train(args: argparse.Namespace, began: float) -> int:
    stages = STAGES if args.stage == "all" else (args.stage,)
    numbers = args.steps or args.minutes
    if not numbers or len(numbers) != len(stages):
        raise SystemExit(f"give --minutes or --steps with {len(stages)} number(s) for: {', '.join(stages)}")
    budgets = {
        name: Budget(steps=int(number)) if args.steps else Budget(minutes=number)
        for name, number in zip(stages, numbers, strict=True)
    }
    device = torch.device(args.device)
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
    scale = TOY_SCALE if args.toy else Scale() if device.type == "cuda" else CPU_SCALE
    if args.batch:
        scale = Scale(**{**{f: getattr(scale, f) for f in scale.__slots__}, "unet_batch": args.batch})
    plan = Plan(folder=args.out, device=device, seed=args.seed, deadline=began + 60 * args.stop_after)
    training = Training(TOY if args.toy else SHIPPED, plan, scale, compiled=args.compile)
    if args.start_from:
        training.start_from(args.start_from)
    done = training.run(budgets, resume=args.resume)
    logger.info(
        "%s after %.1f min", "finished" if done else "stopped; go on with --resume", (time.monotonic() - began) / 60
    )
    return 0


def _evaluate(args: argparse.Namespace) -> int:
    wish = Wish(captions=args.captions, cfg_scales=tuple(args.cfg), judge=Budget(minutes=args.judge_minutes))
    folder = args.out or args.checkpoint.parent / "evaluation"
    table = evaluate(args.checkpoint, folder, torch.device(args.device), wish)
    for row, measures in table.items():
        logger.info("%s", row)
        for name, value in measures.items():
            bar = f"   (bar {100 * BARS[name]:.0f})" if row.startswith("cfg ") and name in BARS else ""
            logger.info("    %-36s %6.1f %%%s", name, 100 * value, bar)
    good = passes(table)
    logger.info("all bars reached" if good else "below a bar")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
