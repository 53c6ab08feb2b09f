"""The page as an application, and who uses it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from starlette.requests import HTTPConnection

Identify = Callable[[HTTPConnection], str | None]
"""Returns the user whose cookie a request carries."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Page:
    """What serves the page."""

    app: FastAPI
    identify: Identify = lambda _request: None
    blocks: Any = None
    """What gradio built."""
