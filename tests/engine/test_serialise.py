"""Requests survive the way through JSON."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.domain.errors import InvalidRequest
from modules.domain.request import BatchSpec, Generation, GuidanceSpec, ModelChoice, SamplingSpec, SeedSpec, Size
from modules.engine.serialise import from_json, to_json

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
REQUESTS = st.builds(
    Generation,
    prompt=TEXTS | st.lists(TEXTS, max_size=3).map(tuple),
    styles=st.lists(TEXTS, max_size=3).map(tuple),
    size=st.builds(Size, width=st.integers(8, 8192)),
    seed=st.builds(SeedSpec, seed=st.integers(-(2**63), 2**64 - 1), subseed_strength=st.floats(0, 1)),
    sampling=st.builds(SamplingSpec, steps=st.integers(1, 500), eta=st.none() | st.floats(0, 100)),
    guidance=st.builds(GuidanceSpec, cfg_scale=st.floats(-1000, 1000)),
    batch=st.builds(BatchSpec, size=st.integers(1, 64)),
    model=st.builds(ModelChoice, checkpoint=st.none() | TEXTS),
    overrides=st.dictionaries(TEXTS, st.none() | st.booleans() | st.integers() | TEXTS, max_size=3),
)


@given(REQUESTS)
def test_round_trip(request_: Generation) -> None:
    assert from_json(Generation, json.loads(json.dumps(to_json(request_)))) == request_


@pytest.mark.parametrize(
    ("data", "where"),
    [
        ([], ""),
        ({"size": 5}, "size"),
        ({"size": {"width": "wide"}}, "size.width"),
        ({"size": {"width": True}}, "size.width"),
        ({"prompt": 5}, "prompt"),
        ({"styles": "one"}, "styles"),
    ],
)
def test_wrong_types_name_the_path(data: Any, where: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        from_json(Generation, data)
    assert caught.value.field == where


def test_missing_and_unknown_keys() -> None:
    assert from_json(Generation, {"no_such": 1}) == Generation()
