"""The door of the pipeline: one run, or a script or a folder that makes several."""

from functools import partial

from modules.domain.errors import InvalidRequest
from modules.domain.request import Generation
from modules.domain.result import Outcome, Unfinished
from modules.domain.scripts import OutpaintingMk2, PoorMansOutpainting, read_script
from modules.hooks.context import JobContext
from modules.pipeline.bench import Bench
from modules.pipeline.folder import folder_run
from modules.pipeline.outpaint import poor_mans
from modules.pipeline.outpaint_mk2 import mk2
from modules.pipeline.run import set_out
from modules.pipeline.services import Workshop


def carry_out(shop: Workshop, request: Generation, ctx: JobContext) -> Outcome:
    """Make what a request asks for; see `carry_on`."""
    result = carry_on(shop, request, ctx)
    return result.finish() if isinstance(result, Unfinished) else result


def carry_on(shop: Workshop, request: Generation, ctx: JobContext) -> Outcome | Unfinished:
    """Make what a request asks for; the pictures of a single run may still have to be encoded and saved.

    Raises:
        PathRefused: a folder is none where pictures may lie.
        InvalidRequest: the request names something that is not there, asks for too much, or brings a broken picture.
        ModelError: the checkpoint cannot be used.
        OutOfMemory: after every measure to save it.
        NumericalFault: a network produced NaN.
    """
    if request.folder is not None:
        around = shop.around_folder()
        run = partial(_folder, shop, ctx)
        return run(request) if around is None else around(request, ctx, run)
    if request.script is None:
        around = shop.surround()
        return set_out(shop, request, ctx) if around is None else around(request, ctx)
    runner = shop.scripts(request.script.name)
    if runner is not None:
        return runner(request, ctx, Bench(shop=shop, request=request, ctx=ctx, carry_out=partial(carry_out, shop)))
    match read_script(request.script):
        case PoorMansOutpainting() as spec:
            return poor_mans(shop, request, ctx, spec)
        case OutpaintingMk2() as spec:
            return mk2(shop, request, ctx, spec)


def _folder(shop: Workshop, ctx: JobContext, request: Generation) -> Outcome:
    """Carry out a run over the pictures of a folder."""
    if request.folder is None:
        raise InvalidRequest("there is no folder to read", field="input")
    return folder_run(shop, request, ctx, request.folder, partial(carry_out, shop))
