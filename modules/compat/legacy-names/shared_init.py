"""A1111's `modules.shared_init`."""


def initialize() -> None:
    """Fill `modules.shared`; what its names look at is there before any of them can be imported."""
