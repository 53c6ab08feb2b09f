"""What A1111 answered to bad requests, beside our answers.

The same status, except that a bad request is never a fault of the server: where A1111 answered 500, ours is 4xx with
its text in `detail` or `errors`. What differs beyond that is listed here, with the reason.
"""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.web.rest_house import RestHouse, rest_house

RECORDINGS = Path(__file__).resolve().parents[3] / "shared" / "golden" / "recordings"
GROUP = RECORDINGS / "17_errors"
OTHER_STATUS = {
    "override_bad_checkpoint": (
        422,
        "A1111 takes another checkpoint without a word; a picture of the wrong model helps nobody",
    )
}
OTHER_TEXT = {
    "hr_no_denoise": ("denoising_strength", "A1111's text is that of a comparison inside it"),
    "size_0": ("width", "A1111's text is that of a convolution"),
    "steps_0": ("steps", "A1111's text is that of a division"),
}
"""Case -> the field that our answer names, and why."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestHouse]:
    with rest_house(tmp_path_factory.mktemp("rest")) as made:
        yield made


def sent(value: Any) -> Any:
    """Replace `@folder/file` by that file in base64."""
    if isinstance(value, str) and value.startswith("@"):
        return base64.b64encode((RECORDINGS / value[1:]).read_bytes()).decode()
    return {key: sent(part) for key, part in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize("case", sorted(path.name.split(".")[0] for path in GROUP.glob("*.request.json")) or ["none"])
def test_recorded_error(shared_dir: Path, house: RestHouse, case: str) -> None:
    request = json.loads((GROUP / f"{case}.request.json").read_text())
    recorded = json.loads((GROUP / f"{case}.response.json").read_text())
    answer = house.client.request(request["method"], request["endpoint"], json=sent(request["payload"]))
    status, wanted = recorded["status"], recorded["json"]
    if case in OTHER_STATUS:
        assert answer.status_code == OTHER_STATUS[case][0]
    elif status < 500:
        assert answer.status_code == status
    else:
        assert 400 <= answer.status_code < 500
    if case in OTHER_TEXT:
        assert answer.json()["detail"][0]["loc"] == ["body", OTHER_TEXT[case][0]]
    elif status != 200:
        body = answer.json()
        assert set(body) == set(wanted)
        assert body["detail"].startswith(wanted["detail"])
        assert wanted["errors"] in body["errors"]
