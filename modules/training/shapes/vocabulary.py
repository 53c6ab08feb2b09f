"""What a scene can contain and the words for it. The first word of each is the name the program itself uses."""

from types import MappingProxyType

SHAPES = MappingProxyType(
    {
        "circle": ("circle", "disc"),
        "square": ("square", "box"),
        "triangle": ("triangle",),
        "star": ("star",),
        "ring": ("ring", "donut"),
        "cross": ("cross", "plus sign"),
        "heart": ("heart",),
        "diamond": ("diamond", "rhombus"),
        "moon": ("moon", "crescent"),
    }
)

COLOURS = MappingProxyType(
    {
        "red": (220, 30, 35),
        "orange": (250, 140, 20),
        "yellow": (250, 225, 40),
        "green": (40, 170, 60),
        "cyan": (40, 205, 225),
        "blue": (35, 70, 215),
        "purple": (130, 45, 180),
        "pink": (250, 140, 195),
        "white": (245, 245, 245),
        "black": (20, 20, 20),
    }
)
"""sRGB, 0..255. Far apart on purpose: the nearest one tells what was drawn. Brown and gray would not be told apart."""

SIZES = MappingProxyType(
    {"small": ("small", "tiny", "little"), "medium": ("medium", "medium sized"), "large": ("large", "big", "huge")}
)
RADIUS = MappingProxyType({"small": 0.16, "medium": 0.21, "large": 0.265})
"""Fraction of the shorter side of the picture."""

STYLES = MappingProxyType(
    {
        "flat": ("flat",),
        "outline": ("outlined", "hollow"),
        "soft": ("soft", "blurry"),
        "shaded": ("shaded", "glossy"),
    }
)

CELLS = ("top left", "top", "top right", "left", "center", "right", "bottom left", "bottom", "bottom right")
"""Places of a lone object, row by row."""
SPACING = 0.265
"""Distance of neighbouring cells as a fraction of width and height."""

RELATIONS = MappingProxyType(
    {
        "left": ("left of", "to the left of"),
        "right": ("right of", "to the right of"),
        "above": ("above", "over"),
        "below": ("below", "under"),
    }
)
"""Where the first object is, seen from the second."""

GROUNDS = ("plain", "gradient", "striped", "checkered", "dotted")

FILLER = (
    "masterpiece", "best quality", "highly detailed", "high quality", "sharp focus", "simple", "minimalism",
    "vector art", "digital art", "illustration", "4k", "clean lines", "beautiful", "icon", "geometric", "abstract",
    "clip art", "poster", "logo", "cartoon", "colorful", "intricate", "award winning", "professional",
)  # fmt: skip
"""Words people add to every prompt; they say nothing about a scene."""

OPENINGS = (
    "a picture of",
    "a drawing of",
    "an image of",
    "an illustration of",
    "a photo of",
    "a painting of",
    "there is",
)

SLOTS = (
    "colour0", "shape0", "size0", "style0", "position0", "colour1", "shape1", "size1", "style1",
    "relation", "pattern", "ground", "ground2",
)  # fmt: skip
"""Everything a caption can say about a scene."""

CHOICES = MappingProxyType(
    {
        "colour": tuple(COLOURS),
        "shape": tuple(SHAPES),
        "size": tuple(SIZES),
        "style": tuple(STYLES),
        "position": CELLS,
        "relation": tuple(RELATIONS),
        "pattern": GROUNDS,
        "ground": tuple(COLOURS),
    }
)
"""The values of a slot, by its name without the number."""


def choices(slot: str) -> tuple[str, ...]:
    """Return the values a slot of `SLOTS` can have."""
    return CHOICES[slot.rstrip("012")]
