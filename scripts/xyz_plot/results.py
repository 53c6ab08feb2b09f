"""From the pictures of the runs to grids and to one outcome."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from PIL import Image

from modules.domain.plan import Plan
from modules.domain.result import Outcome
from modules.extending.script import ScriptRun
from modules.imaging.grid import grid_rows, make_grid
from modules.imaging.labels import Label, Lettering, labelled_grid

FILE_NAME = "xyz_grid"
NO_LABEL = (Label(text=""),)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cell:
    """One run of the table."""

    outcome: Outcome

    def image(self, run: ScriptRun) -> Image.Image:
        """Return its picture; several are put together."""
        pictures = [run.bench.picture(one) for one in self.outcome.images if not one.extra]
        saving, size = run.ctx.settings.saving, self.outcome.plan.request.batch.size
        if len(pictures) == 1:
            return pictures[0]
        return make_grid(pictures, grid_rows(len(pictures), size, saving), saving.grid_background_color)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """The runs that came to an end, by their place on the three axes."""

    cells: Mapping[tuple[int, int, int], Cell]
    counts: tuple[int, int, int]
    labels: Sequence[Sequence[str]] | None
    """Of each axis; None draws none."""
    margin: int
    told: Mapping[str, str]
    """Infotext entries of the whole."""

    def in_order(self, z: int | None = None) -> list[Cell]:
        """Return the runs, of one Z value or all, row by row."""
        every = sorted(self.cells.items(), key=lambda item: item[0][::-1])
        return [cell for place, cell in every if z in (None, place[2])]


def outcome_of(run: ScriptRun, table: Table, *, lone: bool, sub_grids: bool, plan: Plan) -> Outcome:
    """Draw the grids and describe everything.

    Args:
        run: of the script.
        table: what was made.
        lone: whether the pictures themselves are results.
        sub_grids: whether the grid of each Z value is one, where there are several.
        plan: of the first run, for a job that was ended before anything was made.
    """
    cells = table.in_order()
    if not cells:
        return Outcome(plan=plan, images=(), interrupted=run.ctx.cancel.ends_job)
    save = run.request.output.save_grid
    parts = {z: _sub_grid(run, table, z) for z in range(table.counts[2])}
    whole = parts[0] if len(parts) == 1 else _beside_each_other(run, table, parts)
    assert whole is not None
    first = cells[0].outcome.plan
    grids = [run.bench.grid(whole, _telling(first, table.told), save=save, name=FILE_NAME)]
    if sub_grids and len(parts) > 1:
        without_z = {key: text for key, text in table.told.items() if "Z " not in key}
        for z, grid in parts.items():
            if grid is not None:
                told = _telling(table.in_order(z)[0].outcome.plan, without_z)
                grids.append(run.bench.grid(grid, told, save=save, name=FILE_NAME))
    pictures = [one for cell in cells for one in cell.outcome.images]
    texts = () if lone else tuple(one.infotext for one in pictures if not one.extra)
    outcomes = [cell.outcome for cell in cells]
    return replace(run.bench.joined(outcomes, [*grids, *(pictures if lone else ())]), texts=texts)


def _telling(plan: Plan, told: Mapping[str, str]) -> Plan:
    return replace(plan, infotext_extra={**plan.infotext_extra, **told})


def _sub_grid(run: ScriptRun, table: Table, z: int) -> Image.Image | None:
    """Draw the grid of one Z value; None where nothing was made."""
    columns, rows, _ = table.counts
    places = [(x, y, z) for y in range(rows) for x in range(columns)]
    images = [table.cells[place].image(run) if place in table.cells else None for place in places]
    if not any(images):
        return None
    above, beside = _labels(table, 0), _labels(table, 1)
    return labelled_grid(images, above, beside, margin=table.margin, lettering=Lettering.of(run.ctx.settings.saving))


def _beside_each_other(run: ScriptRun, table: Table, parts: Mapping[int, Image.Image | None]) -> Image.Image:
    """Put the grids of all Z values beside each other."""
    return labelled_grid(
        list(parts.values()), _labels(table, 2), [NO_LABEL], lettering=Lettering.of(run.ctx.settings.saving)
    )


def _labels(table: Table, dimension: int) -> list[tuple[Label, ...]]:
    if table.labels is None:
        return [NO_LABEL] * table.counts[dimension]
    return [(Label(text=text),) for text in table.labels[dimension]]
