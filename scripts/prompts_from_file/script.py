"""The script: a run for each line of a list."""

from dataclasses import dataclass, replace

from modules.domain.errors import InvalidRequest, LimitExceeded, WebuiError
from modules.domain.param import param
from modules.domain.plan import Plan
from modules.domain.request import Generation
from modules.domain.result import Outcome
from modules.extending.script import BOTH, Panel, ScriptRun

from .lines import apply, read_line

FIELD = "script_args"
START = "start"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListParams:
    """The arguments, in A1111's order."""

    checkbox_iterate: bool = param(False, label="Iterate seed every line")
    checkbox_iterate_batch: bool = param(False, label="Use same random seed for all lines")
    prompt_position: str = param(START, label="Insert prompts at the", choices=(START, "end"))
    prompt_txt: str = param("", label="List of prompt inputs")


class PromptsFromFile:
    """Makes a run for each line."""

    id, label, tabs, Params = "prompts_from_file_or_textbox", "Prompts from file or textbox", BOTH, ListParams

    def build(self, panel: Panel) -> None:
        """Build the controls, and what reads a file into the box."""
        import gradio as gr

        panel.control("checkbox_iterate")
        panel.control("checkbox_iterate_batch")
        panel.control("prompt_position")
        box = panel.control("prompt_txt", lines=3, max_lines=20)
        file = gr.File(label="Upload prompt inputs", type="binary", elem_id=f"{panel.element}_file", height=120)
        file.upload(
            lambda data: data.decode("utf-8-sig", "replace"), [file], [box], queue=False, show_progress="hidden",
            api_visibility="private",
        )  # fmt: skip

    def run(self, run: ScriptRun) -> Outcome:
        """Make the runs; an early end keeps those that are finished.

        Raises:
            InvalidRequest: a line that cannot be done; names its number.
        """
        requests = _requests(run, run.params)
        plans = [_planned(run, number, request) for number, request in enumerate(requests, 1)]
        count, most = sum(len(plan.images) for plan in plans), run.ctx.settings.api.api_max_images_per_request
        if count > most:
            raise LimitExceeded("the pictures of all lines", count, most, "api_max_images_per_request")
        total, first, made = sum(plan.num_runs for plan in plans), 0, list[Outcome]()
        for request, plan in zip(requests, plans, strict=True):
            if made and run.ctx.cancel.ends_job:
                break
            made.append(run.make(request, first=first, total=total))
            first += plan.num_runs
        return run.bench.joined(made)


def _requests(run: ScriptRun, params: ListParams) -> list[Generation]:
    """Return the request of each line.

    Raises:
        InvalidRequest: there are no lines, or one cannot be read.
    """
    lines = [line.strip() for line in params.prompt_txt.splitlines() if line.strip()]
    shared = run.request
    if not lines:
        raise InvalidRequest("the list of prompts is empty", field=FIELD)
    if not isinstance(shared.prompt, str) or not isinstance(shared.negative_prompt, str):
        raise InvalidRequest("the script takes one prompt that all lines share, not a list", field="prompt")
    shared = replace(shared, output=replace(shared.output, save_grid=False))
    if shared.seed.seed < 0 and (params.checkbox_iterate or params.checkbox_iterate_batch):
        shared = replace(shared, seed=replace(shared.seed, seed=run.bench.draw_seed()))
    found: list[Generation] = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(apply(shared, read_line(line), at_start=params.prompt_position == START))
        except ValueError as error:
            raise InvalidRequest(f"line {number}: {error}", field=FIELD) from error
        if params.checkbox_iterate:
            more = shared.batch.size * shared.batch.count
            shared = replace(shared, seed=replace(shared.seed, seed=shared.seed.seed + more))
    return found


def _planned(run: ScriptRun, number: int, request: Generation) -> Plan:
    try:
        return run.bench.plan(request)
    except WebuiError as error:
        raise InvalidRequest(f"line {number}: {error}", field=FIELD) from error
