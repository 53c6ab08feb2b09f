"""What a script that makes several runs of one request works with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from PIL import Image

from modules.domain.limits import check
from modules.domain.plan import ImagePlan, Plan
from modules.domain.request import Generation, ImageRef
from modules.domain.result import Outcome, Produced
from modules.hooks.context import JobContext
from modules.hooks.dispatch import Hooks
from modules.imaging.infotext import infotext
from modules.imaging.resize import flatten
from modules.pipeline.parts import Composed, init_of, joined, opened, outcome_of, part_of, picture, reference
from modules.pipeline.plan import draw_seed, make_plan
from modules.pipeline.services import Workshop
from modules.settings.limits import limits_of
from modules.settings.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bench:
    """Makes runs that are parts of one job, and puts together what comes of them."""

    shop: Workshop
    request: Generation
    """Of the job."""
    ctx: JobContext
    carry_out: Callable[[Generation, JobContext], Outcome]

    def plan(self, request: Generation) -> Plan:
        """Decide a run without making it.

        Raises:
            InvalidRequest: the run could not be made.
        """
        settings = self._settings(request)
        check(request, limits_of(settings))
        return make_plan(request, settings, self.shop.shelf())

    def make(
        self, request: Generation, *, first: int = 0, total: int = 0, shown: bool = True, hooks: Hooks | None = None
    ) -> Outcome:
        """Carry out one run and wait until its pictures are saved.

        Args:
            request: its overrides hold for this run.
            first: how many runs of the sampler came before.
            total: how many there will be in all; 0 where nobody knows.
            shown: whether its pictures are results of the job.
            hooks: in place of those of the job.
        """
        ctx = part_of(self.ctx, first, total, results=shown) if total or not shown else self.ctx
        ctx = replace(ctx, settings=self._settings(request), hooks=hooks or ctx.hooks)
        return self.carry_out(replace(request, script=None), ctx)

    def describe(self, plan: Plan) -> str:
        """Write the infotext of the first picture of a plan."""
        return infotext(plan, plan.images[0], self.ctx.settings.infotext, version=self.shop.version)

    def grid(self, image: Image.Image, plan: Plan, *, save: bool, name: str = "grid") -> Produced:
        """Encode an overview of several runs, and save it beside other grids.

        Args:
            image: the overview.
            plan: what its infotext and its name tell.
            save: whether to write a file.
            name: begins the name of the file.
        """
        save = save and self.ctx.settings.saving.grid_save
        made = self.shop.output.submit_grid(image, self.describe(plan), plan, self.ctx.settings, save=save, name=name)
        return made.result()

    def composed(
        self, plan: Plan, pictures: Sequence[tuple[Image.Image, ImagePlan]], runs: Sequence[Outcome]
    ) -> Outcome:
        """Describe, encode and save pictures that were put together of several runs.

        Args:
            plan: what infotexts and file names tell.
            pictures: the results, each with the picture whose seed and prompts it tells.
            runs: what they were made of.
        """
        made = [Composed(image=image, about=about) for image, about in pictures]
        return outcome_of(self.shop, self.ctx, plan, made, runs)

    def joined(self, runs: Sequence[Outcome], images: Sequence[Produced] | None = None) -> Outcome:
        """Return what came of several runs as one outcome; see `parts.joined`."""
        return joined(runs, images, interrupted=self.ctx.cancel.ends_job)

    def picture(self, produced: Produced) -> Image.Image:
        """Return the pixels of a result, RGB."""
        return picture(produced, self.ctx)

    def source(self, request: Generation) -> Image.Image:
        """Open the first picture that a request starts from; RGB, on the background that the settings choose.

        Raises:
            InvalidRequest: it starts from noise, or the picture cannot be read.
        """
        opened_one = opened(init_of(request).images[0], self.ctx)
        return flatten(opened_one, self.ctx.settings.img2img.img2img_background_color)

    def starting_from(self, request: Generation, images: Sequence[Image.Image | ImageRef]) -> Generation:
        """Return a request that starts from other pictures.

        Raises:
            InvalidRequest: it starts from noise.
        """
        refs = tuple(one if isinstance(one, ImageRef) else reference(one) for one in images)
        return replace(request, init=replace(init_of(request), images=refs))

    def draw_seed(self) -> int:
        """Draw a random seed from A1111's range."""
        return draw_seed()

    def _settings(self, request: Generation) -> Snapshot:
        if request.overrides == self.request.overrides:
            return self.ctx.settings
        return self.ctx.settings.with_overrides(request.overrides)
