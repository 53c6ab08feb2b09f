"""`modules.images.FilenameGenerator`: names of files from patterns, for a `p`."""

import hashlib
from dataclasses import replace
from datetime import datetime
from typing import Any

from modules.compat import fold
from modules.compat.host import host, own_job
from modules.domain.plan import Plan
from modules.imaging.naming import NameFacts, apply_pattern


class FilenameGenerator:
    """Fills the patterns of the settings with what is known of a picture.

    Args:
        p: the job that made it.
        seed: of the picture.
        prompt: of the picture.
        image: the picture.
        zip: whether the name is that of an archive of several pictures.
        basename: what `[basename]` stands for.
    """

    def __init__(self, p: Any, seed: Any, prompt: Any, image: Any, zip: bool = False, basename: str = "") -> None:
        self.p, self.seed, self.prompt, self.image, self.zip, self.basename = p, seed, prompt, image, zip, basename

    def apply(self, x: str) -> str:
        """Return a pattern with its tokens replaced.

        Raises:
            ModelError: the checkpoint that the job asks for cannot be found.
        """
        plan = self._plan()
        place = min(max(int(getattr(self.p, "batch_index", 0) or 0), 0), len(plan.images) - 1)
        shown = replace(plan.images[place], prompt=str(self.prompt or ""), seed=int(self.seed or 0))
        width, height = self.image.size if self.image is not None else (self.p.width, self.p.height)
        facts = NameFacts(
            plan=plan, image=shown, width=width, height=height, basename=self.basename, now=datetime.now().astimezone(),
            pixels_sha256=self.image_hash, max_words=host().settings.snapshot().saving.directories_max_prompt_words,
        )  # fmt: skip
        return apply_pattern(x, facts)

    def image_hash(self) -> str:
        """Return the hash of the picture's pixels."""
        return hashlib.sha256(self.image.tobytes() if self.image is not None else b"").hexdigest()

    def _plan(self) -> Plan:
        """Return what was decided for the job; decided now when it has not run."""
        from modules.pipeline.plan import make_plan

        job = own_job()
        if job is not None and job.p is self.p and job.plan is not None:
            return job.plan
        return make_plan(fold.request_of(self.p), host().settings.snapshot(), host().workshop().shelf())
