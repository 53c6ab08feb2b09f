"""Runs over the pictures of a folder, where an extension replaced `img2img.process_batch`."""

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from modules.compat import fold
from modules.compat.entrance import script_values
from modules.compat.host import facade, working_on
from modules.compat.image_batches import process_batch
from modules.compat.jobs import LegacyJob
from modules.compat.results import Processed
from modules.domain.request import FolderSpec, Generation, InitSpec
from modules.domain.result import Outcome
from modules.hooks.context import JobContext
from modules.pipeline.services import AroundFolder


class FolderJob(LegacyJob):
    """A run over a folder.

    Args:
        p: the job as extensions see it; each picture gets one of its own.
        ctx: surroundings.
        spec: the folders.
        make: carries out the run natively.
    """

    def __init__(self, p: Any, ctx: JobContext, spec: FolderSpec, make: Callable[[Generation], Outcome]) -> None:
        super().__init__(p, ctx)
        self.spec, self.make = spec, make
        self.run_folder = self._run_folder

    def _run_folder(self, changes: dict[str, Any]) -> Processed:
        """Do what `process_batch` does while nobody replaced it.

        Args:
            changes: fields of the folders that its caller gave other values.
        """
        request = fold.request_of(self.p)
        self.outcome = self.make(replace(request, folder=replace(self.spec, **changes)))
        return self.show(self.outcome)


def around() -> AroundFolder | None:
    """Return what carries out runs over folders among extensions; None while nobody replaced anything."""
    module = sys.modules.get("modules.img2img")
    return carry_out if module is not None and module.process_batch is not process_batch else None


def carry_out(request: Generation, ctx: JobContext, make: Callable[[Generation], Outcome]) -> Outcome:
    """Carry out a run over a folder by whatever stands in the place of `process_batch`."""
    spec = request.folder or FolderSpec()
    plain = replace(request, folder=None, init=request.init or InitSpec(images=()))
    p = fold.job_object(plain)
    job = FolderJob(p, ctx, spec, make)
    runner, p.script_args_value = script_values(plain)
    p.scripts_value, p.scripts_setup_complete = runner, True
    with working_on(job):
        found = facade("img2img").process_batch(
            p, spec.input, spec.output, spec.masks, list(p.script_args), to_scale=spec.scale is not None,
            scale_by=spec.scale or 1.0, use_png_info=spec.use_png_info, png_info_props=list(spec.png_info_props),
            png_info_dir=spec.png_info,
        )  # fmt: skip
        return job.to_outcome(found) if isinstance(found, Processed) else job.outcome or job.nothing()
