"""Requests made from our own OpenAPI document, right and wrong ones: none of them is a fault of the server."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from tests.web.rest_house import RestHouse, rest_house

EXAMPLES, MORE_EXAMPLES = 8, 60
"""For each operation and each kind of data; more for those that take the most."""
LARGE = ("txt2img", "img2img", "extra-single-image", "options", "png-info")
SMALL = {"api_max_result_mpixels": 0.1, "api_max_images_per_request": 4, "api_max_total_mpixels": 0.4}
"""Large pictures would cost time and show nothing."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestHouse]:
    with rest_house(tmp_path_factory.mktemp("rest")) as made:
        made.services.settings.set(SMALL)
        yield made
        assert made.txt2img().status_code == 200


def operations(house: RestHouse) -> list[Any]:
    schema: Any = schemathesis.openapi.from_dict(house.client.get("/openapi.json").json())
    return [found.ok() for found in schema.get_all_operations()]


def send(house: RestHouse, case: Any) -> Any:
    sent = case.as_transport_kwargs(base_url="")
    more = {name: sent[name] for name in ("params", "json", "data", "headers") if sent.get(name) is not None}
    if isinstance(more.get("data"), bytes | str):
        more["content"] = more.pop("data")
    return house.client.request(sent["method"], sent["url"], **more)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
def test_no_request_is_a_fault_of_the_server(house: RestHouse, mode: GenerationMode) -> None:
    seen: Counter[int] = Counter()
    for operation in operations(house):
        if mode is GenerationMode.NEGATIVE and not (operation.body or operation.query):
            continue  # nothing to get wrong

        @settings(
            max_examples=MORE_EXAMPLES if operation.path.endswith(LARGE) else EXAMPLES, derandomize=True, deadline=None,
            database=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
        )  # fmt: skip
        @given(case=operation.as_strategy(generation_mode=mode))
        def answered(case: Any) -> None:
            if case.media_type == "multipart/form-data":
                return  # forms have tests of their own
            answer = send(house, case)
            seen[answer.status_code] += 1
            assert answer.status_code < 500 or answer.status_code == 501, (case.method, case.path, answer.text[:500])

        answered()
    assert seen[200 if mode is GenerationMode.POSITIVE else 422] > 50
