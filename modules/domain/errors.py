"""Everything that can be wrong in a way a person can act on.

WebuiError                    base; `str()` is the sentence shown to a person
├── InvalidRequest            a field has a wrong type, range or combination       422
│   ├── LimitExceeded         a count or size is over a configured limit           422 / 413
│   ├── UnknownName           a checkpoint, sampler, script ... that is not there  422
│   ├── InvalidImage          bytes that are not a picture we accept               422
│   ├── ForbiddenSetting      a setting that this caller may not change            403
│   └── UnsupportedFeature    known in A1111, not in this program yet              501
├── ModelError                a model file cannot be used                          422
│   ├── UnsupportedCheckpoint recognised or not, but not loadable here
│   ├── BrokenFile            truncated, malformed, or of another type
│   └── UnsafePickle          a pickle that asks for code
├── QueueFull                 too many jobs waiting                                429
├── ShuttingDown              the server is stopping                               503
├── OutOfMemory               after every rung of the relief ladder                500
├── NumericalFault            NaN or infinity in a latent or picture               500
├── StorageFault              disk full, read-only, path refused                   507
└── PathRefused               a name from outside that leads out of its folder     403
"""

from collections.abc import Iterable, Sequence
from pathlib import Path


class WebuiError(Exception):
    """Base of all errors whose text is meant for a person."""


class InvalidRequest(WebuiError):
    """A request, setting or form value that cannot be carried out as given.

    Args:
        message: what is wrong and what to do.
        field: flat API name of the offending field, or "" when it is the whole body.
    """

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field


class LimitExceeded(InvalidRequest):
    """A size, count or length above a limit; names the limit and the setting that moves it."""

    def __init__(self, field: str, value: object, limit: object, setting: str = "") -> None:
        hint = f" (setting {setting})" if setting else ""
        super().__init__(f"{value} is over the limit of {limit}{hint}", field=field)


class UnknownName(InvalidRequest):
    """A name that matches nothing; lists up to twenty that would."""

    def __init__(self, kind: str, name: str, known: Iterable[str] = (), *, field: str = "") -> None:
        names = list(known)
        some = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        super().__init__(f"{kind} {name[:200]!r} not found" + (f"; known: {some}" if some else ""), field=field)
        self.kind, self.name = kind, name


class InvalidImage(InvalidRequest):
    """Bytes that cannot be read as a picture, or a picture we refuse to decode."""


class ForbiddenSetting(InvalidRequest):
    """A setting that may only be changed locally or on the command line."""


class UnsupportedFeature(InvalidRequest):
    """Something A1111 has and this program does not have yet; the message names it."""

    def __init__(self, feature: str, *, field: str = "") -> None:
        super().__init__(f"{feature} is not supported yet", field=field)
        self.feature = feature


class ModelError(WebuiError):
    """A model file that cannot be used, with the reason."""


class UnsupportedCheckpoint(ModelError):
    """A readable file that no family can load.

    Args:
        path: the file.
        tried: ids of the families that looked at it.
        hint: what it seems to be and where it belongs.
    """

    def __init__(self, path: Path, *, tried: Sequence[str] = (), hint: str = "") -> None:
        looked = f" (tried {', '.join(tried)})" if tried else ""
        super().__init__(f"{path.name}: not a checkpoint this program can load{looked}. {hint}".rstrip())
        self.path = path


class BrokenFile(ModelError):
    """A file that is truncated, malformed or not of the type its name says."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path.name}: {reason}")
        self.path, self.reason = path, reason


class UnsafePickle(BrokenFile):
    """A pickle whose opcodes ask for something other than tensors and plain containers."""


class QueueFull(WebuiError):
    """The desk holds as many waiting jobs as it may."""


class ShuttingDown(WebuiError):
    """The server no longer accepts jobs."""


class OutOfMemory(WebuiError):
    """Memory ran out after every measure to save it."""


class NumericalFault(WebuiError):
    """A network produced NaN or infinite values."""


class StorageFault(WebuiError):
    """A file could not be written."""


class PathRefused(WebuiError):
    """A name from outside that would lead out of the folder it belongs in."""
