"""What counts steps, memory and time for extensions."""

import time
from typing import Any

from modules.compat.host import host


class TotalTqdm:
    """The outer bar on the console; progress is told by events here, so it only counts."""

    _tqdm = None
    """The bar that is drawn, which extensions look for before they make it longer."""

    def __init__(self) -> None:
        self.n, self.total = 0, 0

    def reset(self) -> None:
        """Begin again."""
        self.n = 0

    def update(self, n: int = 1) -> None:
        """Count."""
        self.n += n

    def updateTotal(self, new_total: int) -> None:  # noqa: N802 - A1111's name
        """Set how many there are."""
        self.total = new_total

    def clear(self) -> None:
        """Forget everything."""
        self.n = self.total = 0


class MemUsageMonitor:
    """The memory of the card; that of the machine where there is none.

    Args:
        name: nobody reads it.
        device: nobody reads it; there is one device.
        opts: nobody reads them.
    """

    def __init__(self, name: str = "", device: Any = None, opts: Any = None) -> None:
        self.name, self.device, self.opts = name, device, opts
        self.data: dict[str, int] = {}

    @property
    def disabled(self) -> bool:
        """Whether there is no card to watch."""
        return "system" not in self._cuda()

    @staticmethod
    def _cuda() -> dict[str, Any]:
        return host().services().memory().get("cuda") or {}

    def cuda_mem_get_info(self) -> tuple[int, int]:
        """Return free and total bytes."""
        memory = self._cuda().get("system") or host().services().memory()["ram"]
        return int(memory["free"]), int(memory["total"])

    def monitor(self) -> None:
        """Begin to watch; the card itself remembers its peaks."""

    def read(self) -> dict[str, int]:
        """Return bytes: free and total, and what this program has of them now and had at most."""
        free, total = self.cuda_mem_get_info()
        used = {name: self._cuda().get(name) or {} for name in ("active", "reserved")}
        self.data = {
            "free": free, "total": total, "min_free": free, "system_peak": total - free,
            "active": used["active"].get("current", 0), "active_peak": used["active"].get("peak", 0),
            "reserved": used["reserved"].get("current", 0), "reserved_peak": used["reserved"].get("peak", 0),
        }  # fmt: skip
        return self.data

    def stop(self) -> dict[str, int]:
        """End watching and return what was seen."""
        return self.read()


class Timer:
    """Measures parts of something."""

    def __init__(self, print_log: bool = False) -> None:
        self.start = self._last = time.time()
        self.records: dict[str, float] = {}
        self.total = 0.0
        self.base_category = ""

    def elapsed(self) -> float:
        """Return the seconds since this was asked last."""
        now = time.time()
        passed, self._last = now - self._last, now
        return passed

    def record(self, category: str, extra_time: float = 0) -> None:
        """Count the time since the last call for something."""
        passed = self.elapsed() + extra_time
        key = self.base_category + category
        self.records[key] = self.records.get(key, 0) + passed
        self.total += passed

    def subcategory(self, name: str) -> "TimerSubcategory":
        """Return a context whose records belong to something."""
        self.elapsed()
        return TimerSubcategory(self, name)

    def summary(self) -> str:
        """Return the times in a line."""
        parts = ", ".join(f"{name}: {value:.1f}s" for name, value in self.records.items() if value >= 0.1)
        return f"{self.total:.1f}s" + (f" ({parts})" if parts else "")

    def reset(self) -> None:
        """Begin again."""
        self.__init__()

    def dump(self) -> dict[str, Any]:
        """Return the times."""
        return {"total": self.total, "records": self.records}


class TimerSubcategory:
    """Puts a name before what a timer records inside."""

    def __init__(self, timer: Timer, category: str) -> None:
        self.timer, self.category, self._before = timer, category, timer.base_category

    def __enter__(self) -> None:
        self.timer.base_category = f"{self._before}{self.category}/"

    def __exit__(self, *_error: object) -> None:
        """End."""
        self.timer.base_category = self._before
        self.timer.record(self.category)
