"""Bad input gets a clear answer of the right kind, and the next good request works."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.web.rest_house import RestHouse, rest_house

BIG = "x" * 300_000


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestHouse]:
    with rest_house(tmp_path_factory.mktemp("rest")) as made:
        yield made
        assert made.txt2img().status_code == 200


def kind_of(answer: Any) -> str:
    """Name the class of an error answer."""
    assert answer.headers["content-type"].startswith("application/json")
    body = answer.json()
    assert "Traceback" not in answer.text
    if isinstance(body["detail"], list):
        assert answer.status_code == 422
        assert all({"loc", "msg", "type"} <= set(line) for line in body["detail"])
        return "JSON" if body["detail"][0]["type"] == "json_invalid" else "FIELD"
    if set(body) == {"detail"}:
        return {404: "METHOD", 405: "METHOD"}[answer.status_code]
    assert {"error", "detail", "body", "errors"} <= set(body)
    if body["error"] == "LimitExceeded":
        return "LIMIT"
    if body["error"] in ("InvalidImage", "UnsupportedFeature"):
        return {"InvalidImage": "IMAGE", "UnsupportedFeature": "ABSENT"}[body["error"]]
    return {
        400: "NAME", 401: "AUTH", 403: "FORBID", 404: "NAME", 415: "JSON", 422: "NAME", 429: "BUSY", 503: "BUSY",
    }[answer.status_code]  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        ("steps", "abc", "FIELD"), ("steps", 0, "FIELD"), ("steps", -1, "FIELD"), ("steps", 10**7, "LIMIT"),
        ("steps", 10**30, "FIELD"), ("steps", 1.5, "FIELD"), ("steps", None, ""),
        ("width", 0, "FIELD"), ("width", -64, "FIELD"), ("width", 2**31, "LIMIT"), ("height", "64px", "FIELD"),
        ("width", 65536, "LIMIT"), ("height", 10**6, "LIMIT"), ("width", 63, ""),
        ("batch_size", 0, "FIELD"), ("batch_size", 10**6, "LIMIT"), ("n_iter", 10**9, "LIMIT"),
        ("n_iter", "x", "FIELD"), ("cfg_scale", "high", "FIELD"), ("cfg_scale", 1e308, "FIELD"),
        ("denoising_strength", 2, "FIELD"), ("denoising_strength", "x", "FIELD"), ("eta", -(10**9), "FIELD"),
        ("s_noise", "x", "FIELD"), ("subseed_strength", -(10**9), "FIELD"), ("seed", 2**64, "FIELD"),
        ("seed", 10**40, "FIELD"), ("seed", "seed", "FIELD"), ("seed", None, ""),
        ("seed_resize_from_w", 10**6, "LIMIT"), ("sampler_name", "No Such", ""), ("sampler_name", "", ""),
        ("sampler_name", 5, "FIELD"), ("scheduler", "x", ""), ("scheduler", ["x"], "FIELD"),
        ("prompt", "a" * 1_000_000, "LIMIT"), ("prompt", None, ""), ("prompt", 5, "FIELD"), ("prompt", ["a"], ""),
        ("prompt", ["a", 5], "FIELD"), ("prompt", [["a"]], "FIELD"), ("prompt", [], "FIELD"), ("prompt", {}, "FIELD"),
        ("negative_prompt", [None], "FIELD"), ("negative_prompt", ["a" * 1_000_000], "LIMIT"),
        ("prompt", "(" * 400, ""), ("prompt", "(" * 20_000, ""), ("prompt", "(" * 5000 + ")" * 5000, ""),
        ("prompt", "[a:" * 5000 + "b" + ":1]" * 5000, "LIMIT"), ("prompt", " " * 100_000, "LIMIT"),
        ("prompt", "[a|b]" * 20_000, "LIMIT"), ("prompt", "<a:" * 20_000, "LIMIT"), ("prompt", "a AND " * 5000, "LIMIT"),
        ("prompt", "a BREAK " * 5000, ""), ("prompt", "(a:1e400) (a:nan) (a:1.2.3.4)", ""),
        ("prompt", "[|] [] [::] (:)", ""), ("prompt", "<lora:../../x:1> <lora:a:notanumber>", ""),
        ("prompt", "a\x00\x07", ""), ("prompt", "<script>alert(1)</script>", ""),
        ("prompt", "py:__import__('os') {{7*7}}", ""), ("styles", "a", "FIELD"), ("styles", ["no such"], ""),
        ("styles", ["a"] * 100_000, "LIMIT"), ("hr_scale", -2, "FIELD"), ("hr_second_pass_steps", -3, "FIELD"),
        ("refiner_switch_at", 7, "FIELD"), ("enable_hr", True, "FIELD"), ("refiner_checkpoint", "x", "NAME"),
        ("script_name", "x", "NAME"), ("script_name", "Custom code", "NAME"), ("script_args", "abc", "FIELD"),
        ("script_args", {}, "FIELD"), ("script_args", [0] * 1001, "FIELD"),
        ("alwayson_scripts", {"x": {"args": []}}, "NAME"), ("alwayson_scripts", [], "FIELD"),
        ("alwayson_scripts", {"x": 5}, "FIELD"), ("override_settings", [], "FIELD"),
        ("override_settings", {"no_such": 1}, "NAME"), ("override_settings", {"tiling": "perhaps"}, "FIELD"),
        ("override_settings", {"CLIP_stop_at_last_layers": 10**9}, "LIMIT"),
        ("override_settings", {"api_max_body_mb": 5}, "FORBID"), ("override_settings", {"outdir_samples": "/x"}, "FORBID"),
        ("override_settings", {"sd_model_checkpoint": "nope"}, "NAME"),
        ("override_settings", {"samples_format": "py"}, "FIELD"), ("infotext", BIG, "LIMIT"),
        ("infotext", "a\nSteps: 5, Sampler: Euler, Seed: many", "FIELD"), ("force_task_id", "x" * 1_000_000, "LIMIT"),
        ("no_such_field", 1, ""), ("send_images", "perhaps", "FIELD"),
    ],
)  # fmt: skip
def test_txt2img_field(house: RestHouse, field: str, value: Any, kind: str) -> None:
    answer = house.txt2img(**{field: value})
    if kind:
        assert kind_of(answer) == kind, answer.text[:300]
        assert len(answer.content) < 5000
        assert field in answer.text or kind in ("LIMIT", "NAME", "FORBID", "FIELD")
    else:
        assert answer.status_code == 200, answer.text[:300]


@pytest.mark.parametrize(
    "body",
    [
        {"width": 8192, "height": 8192}, {"batch_size": 64, "n_iter": 1000}, {"width": 4000, "height": 4000, "n_iter": 200},
    ],
)  # fmt: skip
def test_products_are_limited_too(house: RestHouse, body: dict[str, Any]) -> None:
    answer = house.txt2img(**body)
    assert kind_of(answer) == "LIMIT"
    assert "setting api_" in answer.json()["detail"]


def test_an_infotext_error_names_the_line(house: RestHouse) -> None:
    answer = house.txt2img(infotext="a\nSampler: Euler, Seed: 5, CFG scale: seven", steps=None)
    assert answer.json()["detail"][0]["loc"] == ["body", "infotext"]
    assert "CFG scale" in answer.json()["detail"][0]["msg"]


def test_ten_thousand_unknown_fields_are_ignored(house: RestHouse) -> None:
    assert house.txt2img(**{f"field{i}": i for i in range(10_000)}).status_code == 200
    assert kind_of(house.txt2img(**{f"field{i}": i for i in range(20_001)})) == "LIMIT"


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", b"[]", b'"x"', b"null", b"[" * 100_000, b'{"a":' * 70 + b"1" + b"}" * 70, b"[" * 65 + b"]" * 65,
        b'{"cfg_scale": NaN}', b'{"cfg_scale": Infinity}', b'{"cfg_scale": -Infinity}', b'{"cfg_scale": 1e999}',
        b'{"prompt": "\\ud800"}', b'{"\\udfff": 1}', b'{"prompt": "\xff\xfe"}', b'{"seed": ' + b"9" * 5000 + b"}",
        '{"prompt": "a"}'.encode("utf-16"), b"\x00", b'{"prompt": "a",}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/txt2img", "/options", "/png-info"])
def test_bodies_that_are_not_json(house: RestHouse, path: str, raw: bytes) -> None:
    answer = house.client.post(f"/sdapi/v1{path}", content=raw, headers={"content-type": "application/json"})
    assert kind_of(answer) in ("JSON", "FIELD"), answer.text[:300]


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml", ""])
def test_other_media_types_are_refused(house: RestHouse, media_type: str) -> None:
    seen = len(house.runner.seen)
    answer = house.client.post("/sdapi/v1/txt2img", content=b'{"steps": 1}', headers={"content-type": media_type})
    assert answer.status_code == 415
    assert len(house.runner.seen) == seen


def test_of_duplicate_keys_the_last_wins_and_is_checked(house: RestHouse) -> None:
    def send(raw: bytes) -> Any:
        return house.client.post("/sdapi/v1/txt2img", content=raw, headers={"content-type": "application/json"})

    good = send(b'{"steps": "x", "steps": 3, "width": 64, "height": 64}')
    assert (good.status_code, house.runner.seen[-1].sampling.steps) == (200, 3)
    assert kind_of(send(b'{"steps": 3, "steps": "x"}')) == "FIELD"


@pytest.mark.parametrize("streamed", [False, True])
def test_a_body_over_the_limit_is_refused(house: RestHouse, streamed: bool) -> None:
    house.services.settings.set({"api_max_body_mb": 1})
    raw = b'{"prompt": "' + b"a" * (1 << 20) + b'"}'
    content = iter([raw[:1000], raw[1000:]]) if streamed else raw
    answer = house.client.post("/sdapi/v1/txt2img", content=content, headers={"content-type": "application/json"})
    house.services.settings.set({"api_max_body_mb": 100})
    assert answer.status_code == 413
    assert "api_max_body_mb" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([], "FIELD"), (5, "FIELD"), ("x", "FIELD"), (None, "FIELD"), ({"no_such": 1}, "NAME"),
        ({"sd_model_checkpoint": "nope"}, "NAME"), ({"tiling": "perhaps"}, "FIELD"), ({"quicksettings_list": 5}, "FIELD"),
        ({"__class__": 1}, "NAME"), ({"data_labels": {}}, "NAME"), ({"sd_vae": "x" * 5_000_000}, "LIMIT"),
        ({"eta_ancestral": 0.7, "no_such": 1}, "NAME"),
    ],
)  # fmt: skip
def test_options_that_cannot_be_set(house: RestHouse, values: Any, kind: str) -> None:
    before = house.get("/options").json()
    assert kind_of(house.post("/options", values)) == kind
    assert house.get("/options").json() == before


@pytest.mark.parametrize("key", ["outdir_samples", "outdir_txt2img_samples", "api_max_body_mb", "queue_max_jobs"])
def test_restricted_options_stay_as_they_are(house: RestHouse, key: str) -> None:
    before = house.get("/options").json()
    assert house.post("/options", {key: 7 if key != "outdir_samples" else "/tmp"}).status_code in (200, 403, 422)
    assert house.get("/options").json() == before


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        ("", "IMAGE"), ("not base64!", "IMAGE"), ("data:image/png;base64,", "IMAGE"), ("data:image/png", "IMAGE"),
        ("aGVsbG8gd29ybGQ=", "IMAGE"), ("/etc/passwd", "IMAGE"), ("file:///etc/passwd", "IMAGE"), (5, "FIELD"),
        (None, "FIELD"), ("http://127.0.0.1/x.png", "FORBID"), ("HTTPS://example.com/x.png", "FORBID"),
    ],
)  # fmt: skip
def test_png_info_of_what_is_no_picture(house: RestHouse, image: Any, kind: str) -> None:
    assert kind_of(house.post("/png-info", {"image": image})) == kind


@pytest.mark.parametrize(
    ("method", "path", "body", "kind"),
    [
        ("GET", "/sdapi/v1/progress?skip_current_image=maybe", None, "FIELD"),
        ("POST", "/internal/progress", {"id_task": {}}, "FIELD"),
        ("POST", "/sdapi/v1/server-kill", None, "METHOD"), ("POST", "/sdapi/v1/server-restart", None, "METHOD"),
        ("POST", "/sdapi/v1/server-stop", None, "METHOD"), ("GET", "/sdapi/v1/txt2img", None, "METHOD"),
        ("GET", "/sdapi/v1/interrupt", None, "METHOD"), ("GET", "/sdapi/v1/skip", None, "METHOD"),
        ("GET", "/sdapi/v1/refresh-checkpoints", None, "METHOD"), ("GET", "/no/such/path", None, "METHOD"),
        ("GET", "/internal/jobs/none/events", None, "NAME"), ("GET", "/internal/jobs/none/images/x", None, "FIELD"),
        ("GET", "/internal/jobs/..%2f..%2fetc/preview", None, "METHOD"),
    ],
)  # fmt: skip
def test_other_routes(house: RestHouse, method: str, path: str, body: Any, kind: str) -> None:
    assert kind_of(house.client.request(method, path, json=body)) == kind


def test_a_huge_task_id_is_just_unknown(house: RestHouse) -> None:
    answer = house.client.post("/internal/progress", json={"id_task": "x" * 1_000_000})
    assert answer.json() == {
        "active": False, "queued": False, "completed": False, "progress": None, "eta": None, "live_preview": None,
        "id_live_preview": -1, "textinfo": "Waiting...",
    }  # fmt: skip


def test_answers_cut_and_clean_what_they_repeat(house: RestHouse) -> None:
    answer = house.txt2img(steps="\u202e" + "y" * 100_000)
    line = answer.json()["detail"][0]
    assert len(line["input"]) < 250
    assert json.dumps(answer.json(), allow_nan=False)
