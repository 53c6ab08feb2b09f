"""The controls in the page: for each axis what it varies and its values, typed or chosen from a list."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from modules.extending.axis_values import joined_csv
from modules.extending.script import Offer, Panel
from modules.hooks.axes import Axis

from .axes import NOTHING, SEED, offered

NAMES = ("x", "y", "z")
QUIET: Mapping[str, Any] = MappingProxyType({"queue": False, "show_progress": "hidden", "api_visibility": "private"})
BEFORE: Mapping[str, tuple[str, ...]] = MappingProxyType({"vaes": ("Automatic", "None")})
"""What a list of names offers besides."""
ALIASES: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType({
    "refiner_checkpoints": ("checkpoints", ("None",)),
})  # fmt: skip
"""Lists that are others, with something more."""
SWAPS = (("x", "y"), ("y", "z"), ("x", "z"))


def entries_of(axis: Axis, offer: Offer) -> list[str]:
    """Return what the values of an axis are chosen from; nothing where they are typed."""
    if axis.choices is None:
        return []
    if not isinstance(axis.choices, str):
        return list(axis.choices() if callable(axis.choices) else axis.choices)
    name, first = ALIASES.get(axis.choices, (axis.choices, BEFORE.get(axis.choices, ())))
    return [*first, *(entry for entry in offer.lists.get(name, ()) if entry not in first)]


def build(panel: Panel) -> None:
    """Build the controls."""
    import gradio as gr

    offer = panel.offer()
    labels = [axis.label for axis in offered(offer.tab, offer.hooks, offer.scripts)]
    rows = {name: _row(panel, name, labels) for name in NAMES}
    with gr.Row():
        for name in ("draw_legend", "no_fixed_seeds", "include_lone_images", "include_sub_grids"):
            panel.control(name)
    with gr.Row():
        for name in NAMES:
            panel.control(f"vary_seeds_{name}")
        csv_mode = panel.control("csv_mode")
    panel.control("margin_size")
    with gr.Row():
        swaps = {pair: _swap(panel, *pair) for pair in SWAPS}
    _connect(panel, rows, csv_mode, swaps)


def _row(panel: Panel, name: str, labels: Sequence[str]) -> Mapping[str, Any]:
    """Build one axis."""
    import gradio as gr

    first, title = SEED if name == "x" else NOTHING, name.upper()
    with gr.Row():
        kind = gr.Dropdown(list(labels), value=first, label=f"{title} type", elem_id=f"{panel.element}_{name}_type")
        panel.keep(f"{name}_type", kind)
        typed = panel.control(f"{name}_values", visible=first != NOTHING)
        picked = gr.Dropdown(
            [], value=[], multiselect=True, allow_custom_value=True, visible=False, label=f"{title} values",
            elem_id=f"{panel.element}_{name}_values_dropdown",
        )  # fmt: skip
        panel.keep(f"{name}_values_dropdown", picked)
        fill = gr.Button(
            "All", visible=False, elem_id=f"{panel.element}_fill_{name}", elem_classes=["tool"], size="sm", min_width=0,
            scale=0,
        )  # fmt: skip
    return {"kind": kind, "typed": typed, "picked": picked, "fill": fill}


def _swap(panel: Panel, one: str, other: str) -> Any:
    import gradio as gr

    return gr.Button(
        f"Swap {one.upper()}/{other.upper()} axes", size="sm", elem_id=f"{panel.element}_swap_{one}{other}"
    )


def _connect(
    panel: Panel, rows: Mapping[str, Mapping[str, Any]], csv_mode: Any, swaps: Mapping[tuple[str, str], Any]
) -> None:
    """Connect the controls with each other."""
    show, fill = _showing(panel), _filling(panel)
    for row in rows.values():
        outputs = [row["typed"], row["picked"], row["fill"]]
        for changed in (row["kind"], csv_mode):
            changed.change(show, [row["kind"], csv_mode, row["picked"]], outputs, **QUIET)
        row["fill"].click(fill, [row["kind"], csv_mode], outputs[:2], **QUIET)
    for (one, other), button in swaps.items():
        both = [rows[name][part] for name in (one, other) for part in ("kind", "typed", "picked")]
        button.click(None, both, both, js="(a, b, c, x, y, z) => [x, y, z, a, b, c]", **QUIET)


def _entries(panel: Panel, label: Any) -> list[str]:
    """Return what there is to choose from for the axis that is chosen."""
    offer = panel.offer()
    axes = offered(offer.tab, offer.hooks, offer.scripts)
    return next((entries_of(axis, offer) for axis in axes if axis.label == label), [])


def _showing(panel: Panel) -> Callable[..., tuple[Any, ...]]:
    import gradio as gr

    def show(label: Any, csv_mode: bool, picked: Sequence[str] | None) -> tuple[Any, ...]:
        """Show the box to type in, or the list to choose from."""
        entries = _entries(panel, label)
        listed = bool(entries) and not csv_mode
        kept = [value for value in picked or () if value in entries]
        # A value that a pasted text is about to bring is not known here yet, so only what does not fit is taken away.
        left: dict[str, Any] = {} if kept == list(picked or ()) else {"value": kept}
        return (
            gr.update(visible=label != NOTHING and not listed),
            gr.update(visible=listed, choices=entries, **left),
            gr.update(visible=bool(entries)),
        )

    return show


def _filling(panel: Panel) -> Callable[..., tuple[Any, ...]]:
    import gradio as gr

    def fill(label: Any, csv_mode: bool) -> tuple[Any, ...]:
        """Take everything that there is to choose from."""
        entries = _entries(panel, label)
        return (joined_csv(entries), gr.skip()) if csv_mode else (gr.skip(), gr.update(value=entries))

    return fill
