"""OpenAI's image API: requests, forms, errors in its shape, addresses that expire."""

import base64
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from modules.engine.job import JobState
from modules.web.rest.v2.openai_links import KEEP_S, MAX_BYTES, Links
from modules.web.rest.v2.openai_shape import error_shape
from tests.web.rest_house import RestHouse, rest_house

SMALL = {"prompt": "a fox", "size": "64x64", "steps": 2, "response_format": "b64_json"}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[RestHouse]:
    with rest_house(tmp_path) as made:
        yield made


def generate(house: RestHouse, **body: Any) -> Any:
    return house.client.post("/v1/images/generations", json={**SMALL, **body})


def picture(*pixels: tuple[int, ...], mode: str = "RGB") -> bytes:
    """Encode a picture of 64 x 64 whose columns repeat these pixels."""
    image = Image.new(mode, (64, 64))
    image.putdata([pixels[column * len(pixels) // 64] for _ in range(64) for column in range(64)])
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def edit(house: RestHouse, files: dict[str, bytes], **fields: Any) -> Any:
    parts = {name: (f"{name}.png", data, "image/png") for name, data in files.items()}
    return house.client.post("/v1/images/edits", data={**SMALL, **fields}, files=parts)


def test_pictures_come_as_base64(house: RestHouse) -> None:
    answer = generate(house, n=2, seed=5, model="toy", negative_prompt="blue").json()
    assert abs(answer["created"] - time.time()) < 60
    assert len(answer["data"]) == 2
    image = Image.open(io.BytesIO(base64.b64decode(answer["data"][0]["b64_json"])))
    assert image.size == (64, 64)
    (request,) = house.runner.seen
    assert (request.prompt, request.negative_prompt, request.seed.seed) == ("a fox", "blue", 5)
    assert request.overrides["sd_model_checkpoint"] == "toy"


def test_pictures_come_as_addresses_that_only_their_owner_can_use(tmp_path: Path) -> None:
    with rest_house(tmp_path, "--api-auth", "ann:a,bob:b") as house:
        headers = {"authorization": "Bearer ann:a"}
        answer = house.client.post("/v1/images/generations", json={**SMALL, "response_format": "url"}, headers=headers)
        address = answer.json()["data"][0]["url"]
        assert address.startswith("http://127.0.0.1:7860/v1/images/files/")
        fetched = house.client.get(address, headers=headers)
        assert fetched.content.startswith(b"\x89PNG")
        assert fetched.headers["x-content-type-options"] == "nosniff"
        assert house.client.get(address, auth=("bob", "b")).status_code == 404
        assert house.client.get(address).status_code == 401
        for wrong in ("x", "..%2f..%2fetc%2fpasswd", "a" * 500):
            assert house.client.get(f"/v1/images/files/{wrong}", headers=headers).status_code == 404


def test_addresses_expire_and_take_bounded_memory() -> None:
    now = [0.0]
    links = Links(clock=lambda: now[0])
    first = links.put(b"1", "png", None)
    now[0] = KEEP_S - 1
    assert links.get(first, None) is not None
    now[0] = KEEP_S + 1
    assert links.get(first, None) is None
    big = bytes(MAX_BYTES // 2)
    names = [links.put(big, "png", None) for _ in range(3)]
    assert [links.get(name, None) is not None for name in names] == [False, True, True]


@pytest.mark.parametrize(
    ("model", "format"), [("dall-e-2", "url"), ("gpt-image-1", "b64_json"), (None, "url"), ("toy", "url")]
)
def test_their_models_stand_for_ours(house: RestHouse, model: str | None, format: str) -> None:
    answer = generate(house, model=model, response_format=None)
    assert list(answer.json()["data"][0]) == [format]
    assert ("sd_model_checkpoint" in house.runner.seen[0].overrides) == (model == "toy")


def test_no_size_is_that_of_the_model(house: RestHouse) -> None:
    generate(house, size="auto", model="toy")
    assert house.runner.seen[0].size.width == house.services.checkpoint_facts("toy").native_size


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"prompt": ""}, 400, "prompt"),
        ({"prompt": None}, 400, "prompt"),
        ({"prompt": 5}, 400, "prompt"),
        ({"n": 0}, 400, "n"),
        ({"n": 11}, 400, "n"),
        ({"n": "x"}, 400, "n"),
        ({"size": "big"}, 400, "size"),
        ({"size": "0x0"}, 400, "size"),
        ({"size": "90000x90000"}, 400, None),
        ({"size": 5}, 400, "size"),
        ({"response_format": "xml"}, 400, "response_format"),
        ({"model": "no such"}, 404, None),
        ({"steps": 0}, 400, "steps"),
        ({"steps": 10**6}, 400, None),
        ({"seed": 2**70}, 400, "seed"),
        ({"sampler_name": 5}, 400, "sampler_name"),
    ],
)
def test_errors_have_their_shape(house: RestHouse, body: dict[str, Any], status: int, param: str | None) -> None:
    answer = generate(house, **body)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert house.runner.seen == []


def test_errors_from_everywhere_have_their_shape(house: RestHouse, tmp_path: Path) -> None:
    post = house.client.post
    json_type = {"content-type": "application/json"}
    answers = [
        post("/v1/images/generations", content=b"{", headers=json_type),
        post("/v1/images/generations", content=b"", headers=json_type),
        post("/v1/images/generations", content=b"NaN", headers=json_type),
        post("/v1/images/generations", content=b"a=b", headers={"content-type": "text/plain"}),
        post("/v1/images/generations", json=SMALL, headers={"origin": "http://evil.example"}),
        post("/v1/images/edits", json=SMALL),
        post("/v1/images/edits", content=b"x", headers={"content-type": "multipart/form-data"}),
        post("/v1/images/edits", content=b"x", headers={"content-type": "multipart/form-data; boundary=a"}),
        house.client.get("/v1/images/none"),
        house.client.get("/v1/images/generations"),
    ]
    for answer in answers:
        assert 400 <= answer.status_code < 500, answer.text
        assert answer.json()["error"]["message"], answer.text
    (tmp_path / "locked").mkdir()
    with rest_house(tmp_path / "locked", "--api-auth", "a:b") as locked:
        refused = locked.client.post("/v1/images/generations", json=SMALL)
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")


def test_a_full_queue_and_a_failed_job_have_their_shape(house: RestHouse) -> None:
    def fail(_step: int) -> None:
        raise ValueError("broken")

    house.runner.before_step = fail
    answer = generate(house)
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "server_error")
    house.services.settings.set({"queue_max_jobs": 1})
    house.services.desk.pause()
    house.client.post("/api/v2/jobs", json={"kind": "txt2img", "steps": 1, "width": 64, "height": 64})
    answer = generate(house)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert int(answer.headers["retry-after"]) > 0


def test_pydantic_and_plain_details_are_told() -> None:
    listed = {"detail": [{"loc": ["body", "n"], "msg": "too many", "type": "x"}]}
    assert error_shape(400, listed)["error"]["message"] == "n: too many"
    assert error_shape(500, {"error": "OutOfMemoryError", "detail": "", "errors": "no room"})["error"] == {
        "message": "no room", "type": "server_error", "param": None, "code": None,
    }  # fmt: skip
    assert error_shape(404, "text")["error"]["message"] == "unknown error"


def mask_in(house: RestHouse) -> list[int] | None:
    """Return the left and the right pixel of the mask of the last request."""
    mask = house.runner.seen[-1].mask
    if mask is None or mask.image is None or mask.image.data is None:
        return None
    image = Image.open(io.BytesIO(mask.image.data)).convert("L")
    return [image.getpixel((0, 32)), image.getpixel((63, 32))]  # pyright: ignore[reportReturnType]


def test_a_picture_is_changed(house: RestHouse) -> None:
    answer = edit(house, {"image": picture((255, 0, 0))}, denoising_strength="0.5", n="2")
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["data"]) == 2
    (request,) = house.runner.seen
    assert request.init is not None
    assert request.init.denoising_strength == 0.5
    assert mask_in(house) is None


def test_what_is_transparent_is_repainted(house: RestHouse) -> None:
    red, clear = (255, 0, 0, 255), (0, 0, 0, 0)
    half = picture(clear, red, mode="RGBA")
    assert edit(house, {"image": picture((255, 0, 0)), "mask": half}).status_code == 200
    assert mask_in(house) == [255, 0]
    assert edit(house, {"image": half}).status_code == 200
    assert mask_in(house) == [255, 0]
    white_right = picture((0, 0, 0), (255, 255, 255))
    assert edit(house, {"image": picture((255, 0, 0)), "mask": white_right}).status_code == 200
    assert mask_in(house) == [0, 255]


@pytest.mark.parametrize(
    ("files", "fields"),
    [
        ({}, {}),
        ({"mask": picture((0, 0, 0))}, {}),
        ({"image": b""}, {}),
        ({"image": b"text"}, {}),
        ({"image": picture((0, 0, 0))[:60]}, {}),
        ({"image": picture((0, 0, 0)), "mask": b"text"}, {}),
        ({"image": picture((0, 0, 0))}, {"prompt": ""}),
        ({"image": picture((0, 0, 0))}, {"n": "many"}),
        ({"image": picture((0, 0, 0))}, {"size": "x"}),
        ({"image": picture((0, 0, 0))}, {"denoising_strength": "7"}),
    ],
)
def test_broken_forms_are_refused(house: RestHouse, files: dict[str, bytes], fields: dict[str, str]) -> None:
    answer = edit(house, files, **fields)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["error"]["message"]
    assert house.runner.seen == []


def test_forms_are_bounded(house: RestHouse) -> None:
    many = [("image[]", (f"{number}.png", b"x", "image/png")) for number in range(3000)]
    began = time.monotonic()
    assert house.client.post("/v1/images/edits", data=SMALL, files=many).status_code == 400
    boundary = {"content-type": "multipart/form-data; boundary=" + "a" * 8000}
    assert house.client.post("/v1/images/edits", content=b"-" * 200_000, headers=boundary).status_code == 400
    assert time.monotonic() - began < 5
    house.services.settings.set({"api_max_body_mb": 1})
    large = edit(house, {"image": bytes(2 << 20)})
    assert (large.status_code, large.json()["error"]["code"]) == (413, "request_too_large")


def test_the_models_are_listed(house: RestHouse) -> None:
    listed = house.client.get("/v1/models").json()
    assert [one["id"] for one in listed["data"]] == ["toy"]


def test_its_jobs_are_jobs_like_others(house: RestHouse) -> None:
    generate(house)
    (entry,) = house.services.ledger.entries()
    assert (entry.kind, entry.state, entry.attended) == ("txt2img", JobState.FINISHED, True)
    assert json.loads(house.client.get("/api/v2/jobs").text)["jobs"][0]["id"] == entry.id
