"""The Models tab as data: the checkpoints there are, which are in memory, and which files cannot be used, and why."""

from typing import Any

from modules.web.services import CheckpointInfo
from modules.web.ui.context import UiContext
from modules.web.ui.quick import CHECKPOINT, current


def describe(context: UiContext) -> dict[str, Any]:
    """Describe all files where checkpoints belong; looks into each the first time."""
    chosen = current(CHECKPOINT, context)
    loaded = {one.filename: one for one in context.services.loaded()}
    checkpoints = context.services.checkpoints()
    return {
        "models": [
            {
                **_describe(one, context),
                "chosen": one.title == chosen,
                "loaded": _memory(loaded.get(one.filename)),
            }
            for one in checkpoints
        ],
        "strays": [
            {"name": one.name, "size_bytes": one.size_bytes, "fault": f"It {one.reason}."}
            for one in context.services.stray_files()
        ],
    }


def _describe(one: CheckpointInfo, context: UiContext) -> dict[str, Any]:
    facts = context.services.checkpoint_facts(one.title)
    variant = "" if facts.variant == "base" else facts.variant
    prediction = "v-prediction" if facts.prediction == "v" else ""
    kind = ", ".join(part for part in (facts.label, variant, prediction) if part)
    return {
        "title": one.title, "name": facts.name or one.model_name, "kind": kind, "hash": one.hash or "",
        "side": facts.native_size if facts.family else None, "size_bytes": facts.size_bytes, "fault": facts.fault,
    }  # fmt: skip


def _memory(loaded: Any) -> dict[str, Any] | None:
    if loaded is None:
        return None
    return {"where": loaded.where, "size_bytes": loaded.num_bytes, "in_use": loaded.in_use}
