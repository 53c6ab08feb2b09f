"""The numbered list of bad inputs and what the API answers to each; the numbers are those of the specification.

Every number is here, or in `ELSEWHERE` with the test that covers it, or in `NOT_YET` with the feature it belongs to.
"""

import base64
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from PIL import Image, PngImagePlugin

from tests.engine.fakes import png

SMALL = {"steps": 2, "width": 64, "height": 64}
PICTURE = png(16, 16, "a cat")
OK = ""
Sent = Callable[[], Any]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One request and the kind of its answer."""

    number: int
    kind: str
    """`OK`, or the classes of error that fit, separated by `|`."""
    path: str
    method: str = "POST"
    body: Any = None
    """JSON, or a function that makes it."""
    raw: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Name for pytest."""
        return f"{self.number}-{self.kind or 'OK'}-{self.path.rsplit('/', 1)[-1][:20]}"

    @property
    def sent(self) -> Any:
        """What is sent as JSON."""
        return self.body() if callable(self.body) else self.body


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def txt(number: int, kind: str, **body: Any) -> Row:
    return Row(number=number, kind=kind, path="/sdapi/v1/txt2img", body={**SMALL, **body})


def img(number: int, kind: str, **body: Any) -> Row:
    return Row(
        number=number, kind=kind, path="/sdapi/v1/img2img", body={**SMALL, "init_images": [b64(PICTURE)], **body}
    )


def init(number: int, kind: str, make: Callable[[], bytes] | str) -> Row:
    """Send something in place of an init image."""

    def body() -> Any:
        return {**SMALL, "init_images": [make if isinstance(make, str) else b64(make())]}

    return Row(number=number, kind=kind, path="/sdapi/v1/img2img", body=body)


def extra(number: int, kind: str, **body: Any) -> Row:
    sent = {"image": b64(PICTURE), "upscaler_1": "Lanczos", **body}
    return Row(number=number, kind=kind, path="/sdapi/v1/extra-single-image", body=sent)


def batch(number: int, kind: str, images: Any) -> Row:
    return Row(number=number, kind=kind, path="/sdapi/v1/extra-batch-images", body={"imageList": images})


def info(number: int, kind: str, make: Callable[[], bytes] | str) -> Row:
    def body() -> Any:
        return {"image": make if isinstance(make, str) else b64(make())}

    return Row(number=number, kind=kind, path="/sdapi/v1/png-info", body=body)


def options(number: int, kind: str, values: Any) -> Row:
    return Row(number=number, kind=kind, path="/sdapi/v1/options", body=values)


def raw(number: int, kind: str, data: bytes, media: str = "application/json", path: str = "/sdapi/v1/txt2img") -> Row:
    return Row(number=number, kind=kind, path=path, raw=data, headers={"content-type": media})


def to(number: int, kind: str, method: str, path: str, body: Any = None, **headers: str) -> Row:
    return Row(number=number, kind=kind, method=method, path=path, body=body, headers=headers)


def over(number: int, kind: str, **values: Any) -> Row:
    return txt(number, kind, override_settings=values)


def claimed_png(width: int, height: int) -> bytes:
    """A PNG whose header promises a size that its few bytes do not hold."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 50)) + chunk(b"IEND", b"")


def with_text(key: str, text: str, *, packed: bool = False) -> bytes:
    told, buffer = PngImagePlugin.PngInfo(), io.BytesIO()
    told.add_text(key, text, zip=packed)
    Image.new("RGB", (16, 16)).save(buffer, "PNG", pnginfo=told)
    return buffer.getvalue()


def novelai() -> bytes:
    told, buffer = PngImagePlugin.PngInfo(), io.BytesIO()
    told.add_text("Software", "NovelAI")
    told.add_text("Description", "a cat")
    told.add_text("Comment", '{"steps": [[[')
    Image.new("RGB", (16, 16)).save(buffer, "PNG", pnginfo=told)
    return buffer.getvalue()


def long_gif() -> bytes:
    """A GIF of twenty thousand frames."""
    frame = b"\x2c\0\0\0\0\1\0\1\0\0\2\2\x44\1\0"
    return b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff" + frame * 20_000 + b"\x3b"


def circular_tiff() -> bytes:
    """A TIFF whose list of directories leads back to its beginning."""
    entries = [
        (256, 3, 1, 1),
        (257, 3, 1, 1),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
        (279, 4, 1, 1),
    ]
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries)) + packed + struct.pack("<I", 8)


def in_mode(mode: str) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (16, 16)).save(buffer, "PNG")
    return buffer.getvalue()


OTHER_FORMATS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7\n",
    b"SIMPLE  =                    T" + b" " * 2850, b"8BPS\0\1" + bytes(40), b"<!doctype html><html></html>",
)  # fmt: skip
INSIDE = (
    "http://127.0.0.1/a", "http://localhost/a", "http://127.1/a", "http://2130706433/a", "http://0x7f000001/a",
    "http://0177.0.0.1/a", "http://[::ffff:127.0.0.1]/a", "http://0.0.0.0/a", "http://example.com@127.0.0.1/a",
)  # fmt: skip
HOSTILE_NUMBERS = "a\nSteps: 1e9999, Sampler: \u202e, CFG scale: nan, Seed: -0x1, Size: 99999999999x-1, Clip skip: inf"
POST_ONLY = (
    "txt2img",
    "img2img",
    "extra-single-image",
    "png-info",
    "interrupt",
    "skip",
    "refresh-checkpoints",
    "refresh-vae",
)


def rows() -> Iterator[Row]:
    """Yield the table, top to bottom."""
    yield from _numbers()
    yield from _texts()
    yield from _passes_and_scripts()
    yield from _settings_of_a_request()
    yield from _pictures()
    yield from _extras_and_info()
    yield from _options_and_lists()
    yield from _protocol()


def _numbers() -> Iterator[Row]:
    yield from (txt(1, "FIELD", steps="abc"), txt(2, "FIELD", steps=0), txt(3, "FIELD", steps=-1))
    yield from (txt(4, "LIMIT", steps=10**7), txt(5, "FIELD", steps=10**30), txt(6, "FIELD", steps=1.5))
    yield from (txt(7, OK, steps=None), txt(8, "FIELD", width=0), txt(9, "FIELD", width=-64))
    yield from (
        txt(10, "LIMIT", width=2**31),
        txt(11, "FIELD", height="64px"),
        txt(12, "LIMIT", width=65536, height=65536),
    )
    yield from (txt(13, "LIMIT", height=10**6), txt(14, OK, width=63, height=65))
    yield from (txt(15, "FIELD", batch_size=0), txt(16, "LIMIT", batch_size=10**6), txt(17, "LIMIT", n_iter=10**9))
    yield from (txt(18, "LIMIT", batch_size=1000, n_iter=1000), txt(19, "FIELD", n_iter="x"))
    for number, value in ((20, b"NaN"), (21, b"Infinity"), (21, b"-Infinity"), (22, b"1e999")):
        yield raw(number, "JSON", b'{"cfg_scale": ' + value + b"}")
    yield from (txt(23, "FIELD", cfg_scale="high"), txt(24, "FIELD", cfg_scale=1e308))
    yield from (txt(25, "FIELD", denoising_strength=2), txt(26, "FIELD", denoising_strength="x"))
    yield from (
        txt(27, "FIELD", eta=-(10**9)),
        txt(28, "FIELD", s_noise="x"),
        txt(29, "FIELD", subseed_strength=-(10**9)),
    )
    yield from (txt(30, "FIELD", seed=2**64), txt(31, "FIELD", seed=10**40), txt(32, "FIELD", seed="seed"))
    yield from (txt(33, OK, seed=None), txt(34, "LIMIT", seed_resize_from_w=10**6, seed_resize_from_h=10**6))


def _texts() -> Iterator[Row]:
    yield from (
        txt(35, OK, sampler_name="No Such"),
        txt(36, OK, sampler_name=""),
        txt(37, OK, sampler_name="DPM++ 2M Karras"),
    )
    yield from (txt(38, "FIELD", sampler_name=5), txt(39, OK, scheduler="x"), txt(40, "FIELD", scheduler=["x"]))
    yield from (txt(41, "LIMIT", prompt="a" * 1_000_000), txt(42, OK, prompt=None), txt(43, "FIELD", prompt=5))
    # A1111 1.10 takes lists of prompts, so only lists that hold something else are wrong.
    yield from (txt(44, OK, prompt=["a"]), txt(44, "FIELD", prompt=["a", 5]), txt(44, "FIELD", prompt=[["a"]]))
    yield from (txt(44, "FIELD", prompt=[]), txt(44, "FIELD", prompt={}), txt(44, "FIELD", negative_prompt=[None]))
    yield from (txt(44, "LIMIT", negative_prompt=["a" * 1_000_000]), txt(45, OK, prompt="(" * 400))
    yield from (txt(45, OK, prompt="(" * 20_000), txt(46, OK, prompt="(" * 5000 + ")" * 5000))
    yield from (txt(47, "LIMIT", prompt="[a:" * 5000 + "b" + ":1]" * 5000), txt(48, "LIMIT", prompt=" " * 100_000))
    yield from (txt(49, "LIMIT", prompt="[a|b]" * 20_000), txt(50, "LIMIT", prompt="<a:" * 20_000))
    yield from (txt(51, "LIMIT", prompt="a AND " * 5000), txt(52, OK, prompt="a BREAK " * 5000))
    yield from (txt(53, OK, prompt="(a:1e400) (a:nan) (a:1.2.3.4)"), txt(54, OK, prompt="[|] [] [::] (:)"))
    yield from (
        txt(55, OK, prompt="<lora:none:1>"),
        txt(56, OK, prompt="<lora:../../x:1>"),
        txt(57, OK, prompt="<lora:a:no>"),
    )
    yield from (txt(58, OK, prompt="a\x00\x07"), raw(59, "JSON", b'{"prompt": "\\ud800"}'))
    yield from (raw(59, "JSON", b'{"\\udfff": 1}'), raw(60, "JSON", b'{"prompt": "\xff\xfe"}'))
    yield from (txt(61, OK, prompt="<script>alert(1)</script>"), txt(62, OK, prompt="py:__import__('os') {{7*7}}"))
    yield from (txt(63, "FIELD", styles="a"), txt(64, OK, styles=["no such"]), txt(65, "LIMIT", styles=["a"] * 100_000))


def _passes_and_scripts() -> Iterator[Row]:
    hires = {"enable_hr": True, "denoising_strength": 0.5}
    yield from (txt(66, "LIMIT", **hires, hr_scale=10**9), txt(67, "FIELD", **hires, hr_scale=-2))
    yield from (
        txt(68, "NAME", **hires, hr_upscaler="x"),
        txt(69, "LIMIT", **hires, hr_resize_x=10**6, hr_resize_y=10**6),
    )
    yield from (txt(70, "NAME", **hires, hr_checkpoint_name="x"), txt(71, "FIELD", **hires, hr_second_pass_steps=-3))
    yield from (txt(72, "NAME", refiner_checkpoint="x"), txt(73, "FIELD", refiner_switch_at=7))
    yield from (txt(74, "NAME", script_name="x"), txt(75, "NAME", script_name="Custom code"))
    yield img(76, OK, script_name="outpainting mk2", script_args=["", 16])
    yield img(77, "FIELD", script_name="outpainting mk2", script_args=[0] * 7)
    yield txt(77, "FIELD", script_args=[0] * 1001)
    yield from (txt(78, "FIELD", script_args="abc"), txt(78, "FIELD", script_args={}))
    yield img(79, "FIELD", script_name="outpainting mk2", script_args=["", "wide"])
    yield from (txt(80, "NAME", alwayson_scripts={"x": {"args": []}}), txt(81, "FIELD", alwayson_scripts=[]))
    yield from (txt(82, "FIELD", alwayson_scripts={"x": 5}), img(83, "NAME", alwayson_scripts={"outpainting mk2": {}}))
    yield img(
        84, OK, mask=b64(PICTURE), alwayson_scripts={"soft inpainting": {"args": [True, 1, 0.5, 4, 0, 0.5, 2, 7, 8]}}
    )


def _settings_of_a_request() -> Iterator[Row]:
    yield from (
        txt(85, "FIELD", override_settings=[]),
        over(86, "NAME", no_such=1, eta_ddim=0.5),
        over(87, "FIELD", tiling="perhaps"),
    )
    yield from (over(88, "LIMIT", CLIP_stop_at_last_layers=10**9), over(89, "FORBID", api_max_body_mb=5))
    yield from (over(89, "FORBID", api_forbid_local_requests=False), over(90, "FORBID", outdir_samples="/x"))
    yield from (
        over(91, "NAME", sd_model_checkpoint="nope"),
        over(92, "NAME", sd_vae="../../x"),
        over(93, "FIELD", samples_format="py"),
    )
    yield from (
        txt(94, "LIMIT", infotext="x" * 300_000),
        txt(95, "FIELD", infotext="a\nSteps: 5, Sampler: Euler, Seed: many"),
    )
    yield from (txt(96, "LIMIT", force_task_id="x" * 1_000_000), txt(97, OK, no_such_field=1))
    yield txt(98, OK, **{f"field{i}": i for i in range(10_000)})
    yield txt(98, "LIMIT", **{f"field{i}": i for i in range(20_001)})


def _pictures() -> Iterator[Row]:
    yield from (img(99, "NAME", init_images=None), img(100, "NAME", init_images=[]), img(101, "FIELD", init_images="x"))
    yield from (
        img(102, "FIELD", init_images=[5]),
        img(102, "FIELD", init_images=[None]),
        init(103, "IMAGE", "no base64!"),
    )
    yield from (init(104, "IMAGE", lambda: PICTURE[:20]), init(105, "IMAGE", "data:image/png;base64,"))
    yield from (init(106, "IMAGE", "data:image/png"), init(107, "IMAGE", lambda: b"hello world"))
    yield img(108, "LIMIT", init_images=["a"] * 5000)
    yield from (init(109, "LIMIT", lambda: claimed_png(50_000, 50_000)), init(110, "IMAGE", lambda: claimed_png(0, 0)))
    yield init(111, "LIMIT", lambda: claimed_png(12_000, 12_000))
    yield from (init(112, OK, lambda: with_text("parameters", "x" * (64 << 20), packed=True)), init(113, OK, long_gif))
    for data in OTHER_FORMATS:
        yield init(114, "IMAGE", lambda data=data: data)
    yield init(115, "IMAGE|", circular_tiff)
    for mode in ("I;16", "P", "1", "LA"):
        yield init(116, OK, lambda mode=mode: in_mode(mode))
    yield from (img(117, OK, mask=b64(png(99, 7, ""))), img(118, "IMAGE", mask="aGVsbG8="))
    yield from (img(119, "FIELD", mask=b64(PICTURE), mask_blur=value) for value in (-5, 10**9))
    yield from (
        img(120, "FIELD", inpainting_fill=99),
        img(121, "FIELD", resize_mode="x"),
        img(122, "FIELD", inpaint_full_res_padding=10**9),
    )
    yield img(123, OK, mask=b64(png(16, 16, "", colour=(0, 0, 0))))
    for address in INSIDE:
        yield init(124, "URL", address)
    yield init(125, "URL", "http://169.254.169.254/latest/meta-data")
    for address in ("file:///etc/passwd", "ftp://example.com/a.png", "gopher://example.com/"):
        yield init(127, "IMAGE", address)
    yield from (init(128, "IMAGE", "/etc/passwd"), init(128, "IMAGE", "C:\\Windows\\win.ini"))


def _extras_and_info() -> Iterator[Row]:
    yield from (
        extra(129, "IMAGE", image=""),
        extra(130, "FIELD", resize_mode=2),
        extra(131, "FIELD", upscaling_resize=0),
    )
    yield from (extra(131, "FIELD", upscaling_resize=-4), extra(132, "LIMIT", upscaling_resize=10**9))
    yield from (extra(133, "NAME", upscaler_1="x"), extra(134, "FIELD", gfpgan_visibility=2))
    yield to(135, "FIELD", "POST", "/sdapi/v1/extra-batch-images", {})
    yield batch(136, OK, [{"data": b64(PICTURE), "name": "../../x"}])
    # More pictures than a request may have keys are refused as that already.
    yield from (
        batch(137, "LIMIT", [{"data": "a", "name": "a"}] * 20_000),
        batch(137, "LIMIT", [{"data": "a", "name": "a"}] * 300),
    )
    yield from (info(138, "IMAGE", lambda: b"hello world"), info(138, "IMAGE", ""))
    yield info(139, OK, lambda: with_text("parameters", "x" * 200_000))
    yield from (info(140, OK, lambda: with_text("parameters", HOSTILE_NUMBERS)), info(141, OK, novelai))


def _options_and_lists() -> Iterator[Row]:
    for values in ([], 5, "x", None):
        yield options(144, "FIELD", values)
    yield from (
        options(145, "NAME", {"eta_ancestral": 0.7, "no_such": 1}),
        options(146, "NAME", {"sd_model_checkpoint": "x"}),
    )
    yield from (options(147, "FIELD", {"tiling": "perhaps"}), options(148, "FIELD", {"quicksettings_list": 5}))
    yield raw(149, "JSON", b'{"s_noise": NaN}', path="/sdapi/v1/options")
    yield raw(149, "JSON", b'{"samples_filename_pattern": "\\ud800"}', path="/sdapi/v1/options")
    yield from (
        options(150, "FORBID|", {"outdir_samples": "/tmp"}),
        options(151, OK, {"api_forbid_local_requests": False}),
    )
    yield from (options(152, "NAME", {"__class__": 1}), options(152, "NAME", {"data_labels": {}}))
    yield options(153, "LIMIT", {"samples_filename_pattern": "x" * 5_000_000})
    yield to(154, "FIELD", "GET", "/sdapi/v1/progress?skip_current_image=maybe")
    yield from (
        to(155, "FIELD", "POST", "/internal/progress", {"id_task": {}}),
        to(156, OK, "POST", "/internal/progress", {"id_task": "x" * 10**6}),
    )
    for name in ("kill", "restart", "stop"):
        yield to(157, "METHOD", "POST", f"/sdapi/v1/server-{name}")
    for name in POST_ONLY:
        yield to(158, "METHOD", "GET", f"/sdapi/v1/{name}")


def _protocol() -> Iterator[Row]:
    yield from (raw(170, "JSON|FIELD", b""), raw(171, "JSON", b"{"), raw(173, "JSON", b"[" * 100_000))
    for data in (b"[]", b'"x"', b"null"):
        yield raw(172, "JSON|FIELD", data)
    yield raw(173, "JSON", b'{"a":' * 70 + b"1" + b"}" * 70)
    yield raw(174, "JSON", b'{"seed": ' + b"9" * 5000 + b"}")
    yield raw(175, "FIELD", b'{"steps": 3, "steps": "x"}')
    yield raw(175, OK, b'{"steps": "x", "steps": 3, "width": 64, "height": 64}')
    for media in ("text/plain", "application/x-www-form-urlencoded", "application/xml", ""):
        yield raw(176, "JSON", b'{"steps": 1}', media)
    yield raw(177, "JSON", '{"prompt": "a"}'.encode("utf-16"))
    yield to(184, "FORBID", "POST", "/sdapi/v1/interrupt", {}, origin="http://evil.example")
    yield Row(
        number=184,
        kind="FORBID",
        path="/sdapi/v1/txt2img",
        raw=b"{}",
        headers={"origin": "http://evil.example", "content-type": "text/plain"},
    )
    yield to(185, "FORBID", "POST", "/sdapi/v1/txt2img", {}, origin="null")
    yield to(186, "FORBID", "GET", "/sdapi/v1/options", host="evil.example")


REST = "tests/web/test_rest_"
ELSEWHERE: dict[int, str] = {
    126: REST + "fetch.py::test_redirects_are_checked_again",
    178: REST + "bad_inputs.py::test_a_body_over_the_limit_is_refused",
    179: REST + "process.py::test_raw_requests",
    180: REST + "process.py::test_raw_requests",
    181: REST + "uploads.py::test_many_ranges_do_no_harm",
    182: REST + "uploads.py::test_hostile_boundaries_end_at_once",
    183: REST + "uploads.py::test_many_parts_are_refused",
    187: REST + "door.py::test_a_preflight_from_a_foreign_page_gets_no_permission",
    188: REST + "door.py::test_a_websocket_from_a_foreign_page_is_refused",
    189: REST + "door.py::test_wrong_credentials",
    190: REST + "door.py::test_every_route_asks_for_credentials",
    191: "tests/web/test_ui_page.py::test_no_file_outside_uploads_is_served",
    192: "tests/web/test_ui_page.py::test_no_file_outside_uploads_is_served",
    193: REST + "uploads.py::test_an_upload_stays_in_its_folder",
    194: "tests/web/test_ui_page.py::test_unknown_events_are_the_clients_mistake",
    195: REST + "uploads.py::test_components_answer_to_no_private_call",
    196: "tests/library/test_catalog.py::test_files_are_classified_when_asked_and_broken_ones_flagged",
    197: "tests/library/test_header.py::test_a_crafted_file_gives_one_line_that_names_it",
    198: "tests/library/test_unpickle.py::test_hostile_opcodes_in_an_archive_are_refused_and_named",
    199: "tests/settings/test_settings_store.py::test_a_broken_file_gives_defaults_and_is_kept",
    200: "tests/prompting/test_styles.py::test_binary_and_missing_files_never_stop_the_start",
    201: "tests/web/test_ui_html.py::test_text_stays_text",
    202: REST + "uploads.py::test_a_link_in_the_outputs_is_not_followed",
}
"""Number -> the test that sends this input."""

NOT_YET: dict[str, tuple[int, ...]] = {
    "describing pictures": (142, 143),
    "training": (*range(159, 170),),
    "extensions": (203,),
}
"""Feature -> the numbers that can be tested once it is there. This list may only get shorter."""
