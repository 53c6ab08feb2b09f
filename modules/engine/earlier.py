"""Jobs of earlier runs of the program, from what the ledger kept of them."""

from typing import Any, cast, get_args

from modules.domain.errors import InvalidRequest
from modules.engine.job import Job, Payload
from modules.engine.ledger import Entry, Ledger
from modules.engine.serialise import from_json, with_pictures

FORMS: dict[str, type[Any]] = {form.__name__: form for form in get_args(Payload)}
"""What a job can be asked to do, by the name under which the ledger keeps it."""


def payload_of(entry: Entry, ledger: Ledger) -> Payload:
    """Rebuild the request of a job.

    Raises:
        InvalidRequest: another version of the program wrote it, or a picture that it brought along is gone.
    """
    form = FORMS.get(entry.form)
    if form is None:
        raise InvalidRequest(f"this program does not know requests of the kind {entry.form[:50]!r}")
    return cast("Payload", with_pictures(from_json(form, entry.payload), ledger.picture))


def job_of(entry: Entry, ledger: Ledger) -> Job:
    """Rebuild a job as it was accepted.

    Raises:
        InvalidRequest: see `payload_of`.
    """
    return Job(
        id=entry.id, kind=entry.kind, payload=payload_of(entry, ledger), owner=entry.owner,
        accepted_at=entry.accepted_at, task_id=entry.task_id, attended=entry.attended,
    )  # fmt: skip
