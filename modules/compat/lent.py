"""The model that extensions look at."""

from contextlib import ExitStack
from typing import TYPE_CHECKING

from modules.compat.host import host

if TYPE_CHECKING:
    from modules.residency.model import Model


def lent_model() -> "Model":
    """Return the model that the running job works with, or else the one that is configured; loads it where needed.

    Raises:
        ModelError: it cannot be used.
    """
    from modules.domain.request import Generation
    from modules.pipeline.plan import resolve_model

    shop, settings = host().workshop(), host().settings.snapshot()
    wanted = shop.pool.loaded or resolve_model(Generation(), settings, shop.shelf())[0]
    with ExitStack() as lease:
        return lease.enter_context(shop.pool.lease(wanted, shop.attention(settings)))
