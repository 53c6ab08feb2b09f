"""Whether extensions put anything into the lists of A1111 that takes part in runs."""

import sys

from modules.compat.host import host


def any_added() -> bool:
    """Tell whether a run may need a `p`: for a sampler, a network, a kind of tag or what restores faces."""
    bound = host()
    # Modules that nobody imported were not added to.
    lists = ("sd_samplers", "sd_schedulers", "extra_networks")
    touched = any(f"modules.{name}" in sys.modules for name in lists)
    return touched or bound.callbacks.has("list_unets") or bool(bound.face_restorers)
