"""The script: reads its arguments, makes a run for every combination of values, and lays the pictures out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from modules.domain.errors import InvalidRequest, LimitExceeded, WebuiError
from modules.domain.limits import num_images
from modules.domain.param import param
from modules.domain.plan import Plan
from modules.domain.request import Generation
from modules.domain.result import Outcome
from modules.extending.axis_values import joined_csv, split_csv
from modules.extending.script import BOTH, Offer, Panel, ScriptRun
from modules.extending.scripts import tab_of
from modules.hooks.axes import Axis

from .axes import FIELD, NOTHING, SEED, VARIATION_SEED, find, offered
from .panel import build
from .results import Cell, Table, outcome_of

TITLE = "X/Y/Z plot"
NAMES = ("x", "y", "z")
Place = tuple[int, int, int]
"""Number of the value on each axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class XyzParams:
    """The arguments, in A1111's order."""

    x_type: Any = param(SEED, label="X type", infotext="X Type")
    x_values: str = param("", label="X values", infotext="X Values")
    x_values_dropdown: tuple[str, ...] | None = param((), label="X values")
    y_type: Any = param(NOTHING, label="Y type", infotext="Y Type")
    y_values: str = param("", label="Y values", infotext="Y Values")
    y_values_dropdown: tuple[str, ...] | None = param((), label="Y values")
    z_type: Any = param(NOTHING, label="Z type", infotext="Z Type")
    z_values: str = param("", label="Z values", infotext="Z Values")
    z_values_dropdown: tuple[str, ...] | None = param((), label="Z values")
    draw_legend: bool = param(True, label="Draw legend")
    include_lone_images: bool = param(False, label="Include Sub Images")
    include_sub_grids: bool = param(False, label="Include Sub Grids")
    no_fixed_seeds: bool = param(False, label="Keep -1 for seeds")
    vary_seeds_x: bool = param(False, label="Vary seeds for X")
    vary_seeds_y: bool = param(False, label="Vary seeds for Y")
    vary_seeds_z: bool = param(False, label="Vary seeds for Z")
    margin_size: int = param(0, label="Grid margins (px)", ge=0, le=500, slider=(0, 500), step=2)
    csv_mode: bool = param(False, label="Use text inputs instead of dropdowns")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chosen:
    """An axis with its values."""

    axis: Axis
    typed: str
    """As the person wrote the values, or the chosen entries."""
    values: Sequence[Any]
    fixed: bool = False
    """Whether values that were random have been drawn."""

    def told(self, name: str) -> dict[str, str]:
        """Return what the infotext says of it."""
        if self.axis.label == NOTHING:
            return {}
        told = {f"{name} Type": self.axis.label, f"{name} Values": self.typed}
        return told | ({f"Fixed {name} Values": ", ".join(map(str, self.values))} if self.fixed else {})

    def shown(self, request: Generation, number: int) -> str:
        """Write one of the values into the legend."""
        value = self.values[number]
        if self.axis.show is not None:
            return self.axis.show(request, value)
        return f"{self.axis.label}: {round(value, 8) if isinstance(value, float) else value}"


class XyzPlot:
    """Varies one request along up to three axes."""

    id, label, tabs, Params = "xyz_plot", TITLE, BOTH, XyzParams

    def build(self, panel: Panel) -> None:
        """Build the controls."""
        build(panel)

    def choices(self, offer: Offer) -> Mapping[str, Sequence[str]]:
        """Name the axes of a tab, in the order in which the API counts them."""
        labels = [axis.label for axis in offered(offer.tab, offer.hooks, offer.scripts)]
        return {f"{name}_type": labels for name in NAMES}

    def pasted(self, entries: Mapping[str, Any]) -> Mapping[str, Any]:
        """Read the axes of a grid; one that the text does not speak about varies nothing."""
        found: dict[str, Any] = {}
        for name in NAMES:
            typed = _entry(entries, f"{name.upper()} Values")
            found |= {
                f"{name}_type": entries.get(f"{name.upper()} Type", NOTHING), f"{name}_values": typed,
                f"{name}_values_dropdown": split_csv(typed),
            }  # fmt: skip
        return found

    def run(self, run: ScriptRun) -> Outcome:
        """Make the runs and the grids.

        Raises:
            InvalidRequest: an axis or a value that cannot be used.
            LimitExceeded: the grid would be too large.
        """
        params: XyzParams = run.params
        known = offered(tab_of(run.request), run.ctx.hooks, run.scripts)
        chosen = [_chosen(params, name, known) for name in NAMES]
        request = replace(run.request, output=replace(run.request.output, save_grid=False))
        if not params.no_fixed_seeds:
            request, chosen = _fixed_seeds(run, request), [_fixed_values(run, one) for one in chosen]
        counts: Place = (len(chosen[0].values), len(chosen[1].values), len(chosen[2].values))
        _check_count(run, request, counts)
        plan = _checked(run, request, chosen)
        _check_size(run, plan, counts)
        requests = {place: _cell(request, chosen, known, place, params) for place in _places(counts, chosen)}
        cells = _made(run, requests, plan)
        told = {"Script": TITLE} | {
            key: text for name, one in zip(NAMES, chosen, strict=True) for key, text in one.told(name.upper()).items()
        }
        labels = _legend(chosen, requests) if params.draw_legend else None
        table = Table(cells=cells, counts=counts, labels=labels, margin=params.margin_size, told=told)
        lone, sub_grids = params.include_lone_images, params.include_sub_grids
        return outcome_of(run, table, lone=lone, sub_grids=sub_grids, plan=plan)


def _entry(entries: Mapping[str, Any], key: str) -> str:
    """Return an entry of a parameters text; a size was taken apart by whoever read the text."""
    if f"{key}-1" in entries:
        return f"{entries[f'{key}-1']}x{entries[f'{key}-2']}"
    return str(entries.get(key, ""))


def _chosen(params: XyzParams, name: str, known: Sequence[Axis]) -> Chosen:
    """Read one axis.

    Raises:
        InvalidRequest: no such axis, or values that are none.
    """
    where = name.upper()
    axis = find(known, getattr(params, f"{name}_type"), where)
    picked, typed = getattr(params, f"{name}_values_dropdown"), getattr(params, f"{name}_values")
    if axis.choices is not None and picked and not params.csv_mode:
        entries, typed = list(picked), joined_csv(picked)
    else:
        entries = list(axis.split(typed) if axis.split is not None else split_csv(typed))
    try:
        values = axis.read(entries)
    except ValueError as error:
        raise InvalidRequest(f"{where} values of {axis.label}: {error}", field=FIELD) from error
    if not values:
        raise InvalidRequest(f"{where} values: give at least one value for {axis.label}", field=FIELD)
    return Chosen(axis=axis, typed=typed, values=values)


def _fixed_seeds(run: ScriptRun, request: Generation) -> Generation:
    """Draw the seeds once for all runs."""
    seed, drawn = request.seed, run.bench.draw_seed()
    subseed = run.bench.draw_seed() if seed.subseed < 0 else seed.subseed
    return replace(request, seed=replace(seed, seed=drawn if seed.seed < 0 else seed.seed, subseed=subseed))


def _fixed_values(run: ScriptRun, one: Chosen) -> Chosen:
    if one.axis.label not in (SEED, VARIATION_SEED):
        return one
    return replace(one, values=[run.bench.draw_seed() if value < 0 else value for value in one.values], fixed=True)


def _checked(run: ScriptRun, request: Generation, chosen: Sequence[Chosen]) -> Plan:
    """Decide the request with each value once, so that what cannot be done is told before the first run.

    Raises:
        InvalidRequest: names the axis and the value.
    """
    plain = run.bench.plan(request)
    for name, one in zip(NAMES, chosen, strict=True):
        one.axis.check(request, one.values)
        for value in one.values:
            try:
                plan = run.bench.plan(one.axis.apply(request, value, one.values))
            except WebuiError as error:
                raise InvalidRequest(f"{name.upper()} value {value!s:.100} of {one.axis.label}: {error}", field=FIELD) from error  # fmt: skip
            _refuse_unknown(one, plan, plain)
    return run.bench.plan(_with_first(request, chosen))


def _refuse_unknown(one: Chosen, plan: Plan, plain: Plan) -> None:
    """Refuse a name that only a note says is not there; in a table a stand-in would be taken for the thing itself."""
    if isinstance(one.axis.choices, str):
        new = next((note for note in plan.notes if note not in plain.notes), None)
        if new is not None:
            raise InvalidRequest(f"{one.axis.label}: {new.text}", field=FIELD)


def _with_first(request: Generation, chosen: Sequence[Chosen]) -> Generation:
    for one in chosen:
        request = one.axis.apply(request, one.values[0], one.values)
    return request


def _check_count(run: ScriptRun, request: Generation, counts: Place) -> None:
    """Refuse more pictures than a request may ask for.

    Raises:
        LimitExceeded: names the setting that moves the limit.
    """
    most = run.ctx.settings.api.api_max_images_per_request
    asked = counts[0] * counts[1] * counts[2] * num_images(request)
    if asked > most:
        raise LimitExceeded("the pictures of the grid", asked, most, "api_max_images_per_request")


def _check_size(run: ScriptRun, plan: Plan, counts: Place) -> None:
    """Refuse a grid that is too large.

    Raises:
        LimitExceeded: names the setting that moves the limit.
    """
    limit = run.ctx.settings.saving.img_max_size_mp
    pixels = counts[0] * counts[1] * counts[2] * plan.size.width * plan.size.height * len(plan.images)
    if pixels > limit * 1e6:
        raise LimitExceeded("the grid", f"{pixels / 1e6:g} megapixels", f"{limit:g}", "img_max_size_mp")


def _places(counts: Place, chosen: Sequence[Chosen]) -> list[Place]:
    """Return all places, so that the dearest axis changes least often; of equal ones X changes most often."""
    loops = sorted(range(3), key=lambda dimension: (chosen[dimension].axis.cost, dimension), reverse=True)
    ranges = [range(counts[dimension]) for dimension in loops]
    found: list[Place] = []
    for outer in ranges[0]:
        for middle in ranges[1]:
            for inner in ranges[2]:
                at = dict(zip(loops, (outer, middle, inner), strict=True))
                found.append((at[0], at[1], at[2]))
    return found


def _cell(
    request: Generation, chosen: Sequence[Chosen], known: Sequence[Axis], place: Place, params: XyzParams
) -> Generation:
    """Return the request of one place; axes are applied in the order in which they are offered."""
    together = sorted(zip(chosen, place, strict=True), key=lambda item: known.index(item[0].axis))
    for one, number in together:
        request = one.axis.apply(request, one.values[number], one.values)
    more, weight = 0, 1
    varied = (params.vary_seeds_x, params.vary_seeds_y, params.vary_seeds_z)
    for number, one, wanted in zip(place, chosen, varied, strict=True):
        if wanted:
            more, weight = more + number * weight, weight * len(one.values)
    if request.seed.seed < 0:
        return request
    return replace(request, seed=replace(request.seed, seed=request.seed.seed + more))


def _legend(chosen: Sequence[Chosen], requests: Mapping[Place, Generation]) -> list[list[str]]:
    """Write all values of each axis."""

    def first(dimension: int, number: int) -> Generation:
        return next(request for place, request in requests.items() if place[dimension] == number)

    return [
        [one.shown(first(dimension, number), number) for number in range(len(one.values))]
        for dimension, one in enumerate(chosen)
    ]


def _made(run: ScriptRun, requests: Mapping[Place, Generation], plan: Plan) -> dict[Place, Cell]:
    """Make the runs; one that fails leaves its place empty, and an early end leaves out those that follow.

    Raises:
        WebuiError: all of them failed.
    """
    made: dict[Place, Cell] = {}
    failed: list[WebuiError] = []
    total = plan.num_runs * len(requests)
    for number, (place, request) in enumerate(requests.items()):
        if number and run.ctx.cancel.ends_job:
            break
        try:
            outcome = run.make(request, first=number * plan.num_runs, total=total, shown=run.params.include_lone_images)
        except WebuiError as error:
            failed.append(error)
            where = ", ".join(f"{name} {at + 1}" for name, at in zip("XYZ", place, strict=True))
            run.ctx.note(f"The picture at {where} failed: {error}")
            continue
        if outcome.images:
            made[place] = Cell(outcome=outcome)
    if failed and not made:
        raise failed[0]
    return made
