"""Names that settings of the page use: its tabs, and the groups of controls in a tab that makes pictures."""

LABELS = (
    "txt2img",
    "img2img",
    "Extras",
    "PNG Info",
    "Checkpoint Merger",
    "Models",
    "Train",
    "Queue",
    "Settings",
    "Extensions",
)
"""Labels of tabs in the order in which they are shown; those of features that are not there do no harm."""
BLOCKS = ("sampler", "accordions", "dimensions", "cfg", "seed", "override_settings", "scripts", "preset")
"""Groups of controls in their usual order, by A1111's names; `preset` is ours."""
