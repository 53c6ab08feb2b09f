"""Encoding pictures and finding their infotext again."""

import io
import json
import zlib

import numpy as np
import piexif
import piexif.helper
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, PngImagePlugin

from modules.domain.errors import InvalidRequest
from modules.imaging.encode import FORMATS, encode, format_for
from modules.imaging.exif import comment_in_exif, exif_with_comment
from modules.imaging.png_chunks import chunk
from modules.imaging.png_writer import filtered_rows, png_bytes
from modules.imaging.read_info import read_picture_info

INFOTEXT = "a café — 猫 🐈\nNegative prompt: rain\nSteps: 20, Sampler: Euler, Seed: 1, Size: 48x32"


def natural(height: int, width: int, seed: int = 0, *, grain: float = 1.5) -> np.ndarray:
    """A picture with the spectrum of photographs and some grain, [H, W, 3] uint8."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])
    frequency[0, 0] = 1

    def field() -> np.ndarray:
        noise = np.fft.ifft2(np.fft.fft2(rng.standard_normal((height, width))) / frequency**1.4).real
        return (noise - noise.mean()) / noise.std()

    shared = field()
    planes = [128 + 45 * (shared + 0.4 * field()) + grain * rng.standard_normal((height, width)) for _ in range(3)]
    return np.stack(planes, axis=-1).clip(0, 255).astype(np.uint8)


def picture(mode: str = "RGB") -> Image.Image:
    return Image.fromarray(natural(32, 48)).convert(mode)


def decoded(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("format", FORMATS)
def test_infotext_comes_back_from_every_format(format):
    made = encode(picture(), format, INFOTEXT)
    assert made.format == format
    assert decoded(made.data).format == {"jpg": "JPEG", "jpeg": "JPEG"}.get(format, format.upper())
    assert read_picture_info(made.data).infotext == INFOTEXT


@pytest.mark.parametrize("format", FORMATS)
def test_no_infotext_is_written_when_there_is_none(format):
    assert read_picture_info(encode(picture(), format, None).data).infotext is None


@pytest.mark.parametrize("format", ["jpg", "webp"])
def test_other_programs_find_the_comment(format):
    exif = piexif.load(encode(picture(), format, INFOTEXT).data)
    assert piexif.helper.UserComment.load(exif["Exif"][piexif.ExifIFD.UserComment]) == INFOTEXT


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("format", ["png", "webp"])
def test_lossless_formats_keep_every_pixel(mode, format):
    image = picture(mode)
    if mode == "RGBA":
        image.putalpha(Image.fromarray(np.arange(32 * 48, dtype=np.uint32).reshape(32, 48).astype(np.uint8)))
    result = decoded(encode(image, format, INFOTEXT, lossless=True).data).convert(mode)
    if mode == "RGBA":
        # Lossless WebP may forget the colour below fully transparent pixels.
        seen = np.asarray(image)[..., 3] > 0
        assert (np.asarray(result)[seen] == np.asarray(image)[seen]).all()
    else:
        assert (np.asarray(result) == np.asarray(image)).all()


@pytest.mark.parametrize("mode", ["P", "PA", "1", "LA", "CMYK", "RGBA"])
@pytest.mark.parametrize("format", FORMATS)
def test_every_mode_can_be_encoded(mode, format):
    image = picture("LA").convert("PA") if mode == "PA" else picture(mode)
    assert decoded(encode(image, format, None).data).size == (48, 32)


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(
        np.uint8,
        st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3, 4])),
        elements=st.integers(0, 255),
    )
)
def test_png_decodes_to_what_was_written(pixels):
    back = np.asarray(decoded(png_bytes(pixels, {})))
    assert (back.reshape(pixels.shape) == pixels).all()


@pytest.mark.parametrize("grain", [0, 1.5, 4])
def test_png_is_not_much_larger_than_pillows(grain):
    pixels = natural(256, 256, grain=grain)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    assert len(png_bytes(pixels, {})) <= 1.08 * buffer.tell()


def test_png_rows_use_each_filter_where_it_fits():
    steps = np.arange(64, dtype=np.uint8)[None, :, None].repeat(64, axis=0).repeat(3, axis=2)
    columns = np.random.default_rng(0).integers(0, 256, (1, 64, 3)).astype(np.uint8).repeat(64, axis=0)
    assert set(filtered_rows(columns)[1:, 0]) == {2}
    assert filtered_rows(steps)[0, 0] == 1


def test_png_texts_are_latin_where_possible():
    data = png_bytes(natural(4, 4), {"a": "caf\u00e9", "b": "\u732b"})
    assert b"tEXta\0caf\xe9" in data
    assert b"iTXtb\0\0\0\0\0\xe7\x8c\xab" in data
    assert decoded(data).info == {"a": "caf\u00e9", "b": "\u732b"}


def test_png_keeps_the_texts_of_the_picture():
    image = picture()
    image.info = {"postprocessing": "x", "parameters": "old", "dpi": (72, 72), "icc_profile": b"1"}
    assert decoded(encode(image, "png", "new").data).info == {"postprocessing": "x", "parameters": "new"}


def test_quality_and_lossless_matter():
    image = Image.fromarray(natural(64, 64))
    sizes = [len(encode(image, "jpg", None, quality=quality).data) for quality in (10, 95)]
    assert sizes[0] < sizes[1] / 2
    assert len(encode(image, "webp", None).data) < len(encode(image, "webp", None, lossless=True).data)


@pytest.mark.parametrize(
    ("wanted", "size", "actual"),
    [
        ("jpg", (65500, 1), "jpg"),
        ("jpg", (1, 65501), "png"),
        ("webp", (16383, 1), "webp"),
        ("webp", (16384, 1), "png"),
        ("png", (70000, 1), "png"),
    ],
)
def test_formats_too_small_for_a_picture_give_way_to_png(wanted, size, actual):
    assert format_for(wanted, size) == actual
    if min(size) == 1:
        assert encode(Image.new("L", size), wanted, None).format == actual


def test_unknown_formats_are_refused():
    with pytest.raises(InvalidRequest, match="samples_format"):
        encode(picture(), "py", None)


def test_an_infotext_too_long_for_jpeg_is_left_out():
    made = encode(picture(), "jpg", "x" * 40_000)
    assert read_picture_info(made.data).infotext is None


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"UNICODE\0\0a\0b", "ab"),
        (b"ASCII\0\0\0ab", "ab"),
        ("caf\u00e9 without a mark".encode(), "caf\u00e9 without a mark"),
        (b"ab", "ab"),
        (b"", None),
    ],
)
def test_exif_comments_of_other_writers(order, raw, text):
    import struct

    mark = {"<": b"II", ">": b"MM"}[order]
    inline = raw.ljust(4, b"\0")[:4] if len(raw) <= 4 else struct.pack(f"{order}I", 44)
    block = struct.pack(f"{order}2sHI", mark, 42, 8) + struct.pack(f"{order}HHHIII", 1, 0x8769, 4, 1, 26, 0)
    block += struct.pack(f"{order}HHHI", 1, 0x9286, 7, len(raw)) + inline + bytes(4) + raw
    assert comment_in_exif(block) == text


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 60))
def test_broken_exif_is_no_error(noise, at):
    block = bytearray(exif_with_comment("abc"))
    block[at : at + len(noise)] = noise
    comment_in_exif(bytes(block))


def png_with(**texts: str) -> bytes:
    info, buffer = PngImagePlugin.PngInfo(), io.BytesIO()
    for key, value in texts.items():
        info.add_text(key, value)
    picture().save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def test_pictures_of_the_original_say_what_it_answered(shared_dir):
    answers = sorted((shared_dir / "golden/recordings").glob("0[1267]*/*.response.json"))
    assert len(answers) > 50
    for answer in answers:
        texts = json.loads(answer.read_text())["json"]["info"]["infotexts"]
        first = answer.with_name(answer.name.replace(".response.json", ".0.png"))
        assert read_picture_info(first.read_bytes()).infotext == texts[0]


def test_a_comment_in_exif_wins_over_the_chunk():
    info, buffer = PngImagePlugin.PngInfo(), io.BytesIO()
    info.add_text("parameters", "chunk")
    picture().save(buffer, "PNG", pnginfo=info, exif=exif_with_comment("exif"))
    assert read_picture_info(buffer.getvalue()).infotext == "exif"


def test_texts_behind_the_pixels_count():
    data = png_with()
    end = chunk(b"IEND", b"")
    text = chunk(b"tEXt", b"parameters\0late")
    assert read_picture_info(data.removesuffix(end) + text + end).infotext == "late"


def test_a_gif_keeps_it_in_its_comment():
    buffer = io.BytesIO()
    picture("P").save(buffer, "GIF", comment=INFOTEXT.encode())
    assert read_picture_info(buffer.getvalue()).infotext == INFOTEXT


def test_other_texts_are_shown_and_technical_ones_are_not():
    buffer = io.BytesIO()
    info = PngImagePlugin.PngInfo()
    info.add_text("extras", "x")
    picture().save(buffer, "PNG", pnginfo=info, dpi=(72, 72))
    assert dict(read_picture_info(buffer.getvalue()).items) == {"extras": "x"}


def test_novelai_is_translated():
    comment = {"uc": "rain", "steps": 28, "sampler": "k_euler", "scale": 11.0, "seed": 7}
    data = png_with(Software="NovelAI", Description="a cat", Comment=json.dumps(comment))
    assert read_picture_info(data).infotext == (
        "a cat\nNegative prompt: rain\n"
        "Steps: 28, Sampler: Euler, CFG scale: 11.0, Seed: 7, Size: 48x32, Clip skip: 2, ENSD: 31337"
    )


@pytest.mark.parametrize("comment", ["", "null", "[1]", "{", "[" * 100_000, '{"uc": 1}'])
def test_broken_novelai_comments_are_no_error(comment):
    assert read_picture_info(png_with(Software="NovelAI", Description="d", Comment=comment)).infotext is None


def hide(mode: str, signature: bytes, body: bytes, length: int | None = None) -> bytes:
    """Hide a text as Forge does, one bit at a time."""
    message = signature + (len(body) * 8 if length is None else length).to_bytes(4) + body
    bits = [int(bit) for byte in message for bit in f"{byte:08b}"]
    pixels = np.asarray(picture(mode)).copy()
    channels = [3] if mode == "RGBA" else [0, 1, 2]
    places = [(y, x, c) for x in range(pixels.shape[1]) for y in range(pixels.shape[0]) for c in channels]
    for (y, x, c), bit in zip(places, bits, strict=False):
        pixels[y, x, c] = pixels[y, x, c] & 0xFE | bit
    return png_bytes(pixels, {})


def gzipped(text: str) -> bytes:
    packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    return packer.compress(text.encode()) + packer.flush()


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("packed", [True, False])
def test_hidden_texts_are_found(mode, packed):
    kind = {"RGB": b"rgb", "RGBA": b"png"}[mode] + (b"comp" if packed else b"info")
    body = gzipped("hidden \u732b") if packed else "hidden \u732b".encode()
    assert read_picture_info(hide(mode, b"stealth_" + kind, body)).infotext == "hidden \u732b"


@pytest.mark.parametrize("length", [0, 7, 2**32 - 1])
def test_broken_hidden_texts_are_no_error(length):
    assert read_picture_info(hide("RGB", b"stealth_rgbcomp", b"nonsense", length)).infotext is None
