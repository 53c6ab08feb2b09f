"""Command line: `python -m modules.training.convert --to original|diffusers SOURCE TARGET`."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from modules.domain.errors import WebuiError
from modules.domain.merge import AS_STORED, PRECISIONS
from modules.training.convert.diffusers_folder import to_diffusers_folder
from modules.training.convert.original import source_files, to_original

logger = logging.getLogger("convert")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(prog="python -m modules.training.convert", description=__doc__)
    made.add_argument("source", type=Path, help="a checkpoint file, or a folder of diffusers")
    made.add_argument("target", type=Path, help="the file or folder to write; must not exist")
    made.add_argument("--to", choices=("original", "diffusers"), required=True, help="the layout to write")
    made.add_argument("--precision", choices=PRECISIONS, default=AS_STORED, help="what to store weights in")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Convert a model; returns the exit status, 1 when it cannot be done."""
    args = parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    convert = to_original if args.to == "original" else to_diffusers_folder
    try:
        made = convert(source_files(args.source), args.target, args.precision)
    except WebuiError as error:
        logger.error("%s", error)
        return 1
    logger.info("written: %s", made)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
