"""Wants something that nobody has."""

from modules import no_such_module_of_the_program  # noqa: F401
