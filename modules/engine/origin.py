"""Which process a job in the ledger belongs to, and whether that process is gone."""

import os
import socket
from dataclasses import dataclass

_SAME_S = 2.0
"""A process that began this close to the noted time is the noted one; clocks are corrected now and then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A process. The number alone does not name it, since systems use numbers again."""

    host: str
    pid: int
    born: float
    """When it began, seconds since the epoch."""

    def is_gone(self, *, alone: bool) -> bool:
        """Tell whether what this process left over may be tidied up.

        Args:
            alone: nobody else uses the data folder; decides about processes of other machines, which cannot be seen.
        """
        import psutil

        if self.host != socket.gethostname():
            return alone
        if self.pid == os.getpid():  # asked before this process has noted anything of its own
            return True
        try:
            return abs(psutil.Process(self.pid).create_time() - self.born) > _SAME_S
        except psutil.NoSuchProcess:
            return True
        except psutil.Error:
            return False


def this_process() -> Origin:
    """Describe the process that runs this."""
    import psutil

    return Origin(host=socket.gethostname(), pid=os.getpid(), born=psutil.Process().create_time())
