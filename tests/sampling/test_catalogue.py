"""Names of samplers and schedules, as people and old files write them."""

import json

import pytest

from modules.domain.errors import UnknownName
from modules.sampling.book import BOOK
from modules.sampling.catalogue import SAMPLERS, sampler_named


def test_recorded_corrections(shared_dir):
    recorded = json.loads((shared_dir / "golden/internals/sampler_scheduler_autocorrect.json").read_text())
    for key, (sampler, schedule) in recorded.items():
        names = [None if text == "None" else text for text in key.split(" | ")]
        found = BOOK.resolve(*names, default_is_automatic=False)
        assert (found.sampler.label, found.schedule.label) == (sampler, schedule), key


def test_the_default_is_reported_as_automatic():
    assert BOOK.resolve("DPM++ 2M", "Karras").schedule.label == "Automatic"
    assert BOOK.resolve("DPM++ 2M Karras", None).schedule.label == "Automatic"
    assert BOOK.resolve("Euler", "Karras").schedule.label == "Karras"


@pytest.mark.parametrize(
    ("sampler", "schedule", "printed"),
    [
        ("DPM++ 2M", "Automatic", "Karras"),
        ("Euler", "Automatic", "Automatic"),
        ("Euler", "Exponential", "Exponential"),
        ("DDIM", "Karras", "Karras"),
        ("UniPC", None, "Automatic"),
    ],
)
def test_printed_schedule_type(sampler, schedule, printed):
    assert BOOK.resolve(sampler, schedule).schedule_type == printed


def test_corrections_leave_notes():
    found = BOOK.resolve("Oiler", "Carras")
    assert not found.known
    assert [note.split("'")[1] for note in found.notes] == ["Oiler", "Carras"]
    assert BOOK.resolve("Euler Karras", "Automatic").notes == ()


def test_labels_are_distinct_and_found():
    assert len({s.label for s in SAMPLERS}) == len(SAMPLERS)
    assert all(sampler_named(s.label) is s for s in SAMPLERS)
    with pytest.raises(UnknownName, match="Euler a"):
        sampler_named("nope")


def test_listing_of_options():
    assert sampler_named("DPM++ 3M SDE").listing() == {
        "scheduler": "exponential",
        "discard_next_to_last_sigma": "True",
        "brownian_noise": "True",
    }
    assert sampler_named("DPM++ 2M SDE Heun").listing()["solver_type"] == "heun"
    assert sampler_named("UniPC").listing() == {}
    assert (sampler_named("Heun").calls(20), sampler_named("Euler").calls(20)) == (40, 20)
