"""Pictures from outside: what is accepted, what is refused, and how it arrives."""

import base64
import contextlib
import functools
import io
import struct
import time
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from modules.domain.errors import InvalidImage, LimitExceeded
from modules.imaging.open import ImageLimits, decode_base64, open_image
from modules.imaging.png_chunks import SIGNATURE, chunk, chunks
from modules.imaging.read_info import read_picture_info

RAMP = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5


def picture(mode: str = "RGB") -> Image.Image:
    return Image.fromarray(np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], axis=-1)).convert(mode)


def saved(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def png(width: int, height: int, *extra: bytes, kind: int = 2) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return SIGNATURE + chunk(b"IHDR", header) + b"".join(extra) + data + chunk(b"IEND", b"")


@pytest.mark.parametrize("format", ["PNG", "WEBP", "BMP", "TIFF"])
def test_lossless_formats_arrive_pixel_by_pixel(format):
    image = open_image(saved(picture(), format, **({"lossless": True} if format == "WEBP" else {})))
    assert (image.mode, np.asarray(image).tolist()) == ("RGB", np.asarray(picture()).tolist())


@pytest.mark.parametrize("format", ["JPEG", "GIF", "AVIF"])
def test_the_other_formats_arrive_too(format):
    assert open_image(saved(picture(), format)).size == (8, 6)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK"])
def test_opaque_modes_become_rgb(mode):
    assert open_image(saved(picture(mode), "TIFF")).mode == "RGB"


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparent_modes_become_rgba(mode):
    assert open_image(saved(picture(mode), "PNG")).mode == "RGBA"


def test_a_transparent_colour_or_palette_entry_becomes_alpha():
    assert open_image(saved(picture("P"), "PNG", transparency=0)).mode == "RGBA"
    image = open_image(saved(picture(), "PNG", transparency=(0, 200, 35)))
    alpha = np.asarray(image)[..., 3]
    assert (image.mode, (alpha == 0).any(), (alpha == 255).any()) == ("RGBA", True, True)


def test_deep_grey_is_scaled():
    deep = np.array([[0, 32768, 65535]], dtype=np.uint16)
    assert np.asarray(open_image(saved(Image.fromarray(deep), "PNG")))[0, :, 0].tolist() == [0, 128, 255]
    floats = np.array([[0.0, 0.5, 1.0]], dtype=np.float32)
    assert np.asarray(open_image(saved(Image.fromarray(floats), "TIFF")))[0, :, 0].tolist() == [0, 128, 255]


def test_cameras_pictures_arrive_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = open_image(saved(picture(), "PNG", exif=exif))
    assert np.asarray(image).tolist() == np.rot90(np.asarray(picture()), -1).tolist()


def test_only_the_first_frame_is_decoded():
    frames = [Image.new("L", (4, 4), 255 * (index % 2)) for index in range(50)]
    data = saved(frames[1], "GIF", save_all=True, append_images=frames)
    assert np.asarray(open_image(data)).min() == 255


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"%PDF-1.4",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<html></html>",
        b"8BPS\0\1" + bytes(60),
        b"SIMPLE  =                    T".ljust(2880),
        b"P6 2 2 255\n" + bytes(12),
        SIGNATURE,
        png(0, 0),
        png(4, 4)[:-40],
        b"RIFF\xff\xff\xff\xffWEBPVP8 ",
        b"\xff\xd8\xff\xe0\0\x10JFIF",
        # A TIFF whose directory is the header itself.
        b"II*\0\0\0\0\0",
    ],
)
def test_what_is_no_picture_is_refused(data):
    with pytest.raises(InvalidImage, match="Invalid encoded image"):
        open_image(data)


def test_a_tiff_that_points_at_itself_ends():
    entry = struct.pack("<HHHII", 1, 256, 4, 1, 4)
    start = time.perf_counter()
    with pytest.raises(InvalidImage):
        open_image(struct.pack("<2sHI", b"II", 42, 8) + entry + struct.pack("<I", 8))
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    ("width", "height"), [(50_000, 50_000), (12_000, 12_000), (8001, 8000), (2**31 - 1, 2**31 - 1)]
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_huge_pictures_are_refused_by_their_header(width, height):
    with pytest.raises(LimitExceeded):
        open_image(png(width, height))


def test_limits_are_settings():
    data = saved(picture(), "PNG")
    open_image(data, ImageLimits(max_pixels=48, max_bytes=len(data)))
    with pytest.raises(LimitExceeded, match="api_max_image_mpixels"):
        open_image(data, ImageLimits(max_pixels=47))
    with pytest.raises(LimitExceeded, match="api_max_image_mb"):
        open_image(data, ImageLimits(max_bytes=len(data) - 1))


@functools.cache
def packed_bomb() -> bytes:
    """A few kilobytes that unpack to 64 MB."""
    return zlib.compress(b"a" * (64 * 2**20), 9)


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP", b"tEXt"])
def test_exploding_texts_are_dropped_and_the_picture_kept(kind):
    bomb = packed_bomb()
    body = {
        b"zTXt": b"k\0\0" + bomb,
        b"iTXt": b"k\0\1\0\0\0" + bomb,
        b"iCCP": b"k\0\0" + bomb,
        b"tEXt": b"k\0" + b"a" * (2**20 + 1),
    }[kind]
    data = png(4, 4, chunk(b"tEXt", b"small\0x"), chunk(kind, body))
    assert open_image(data).size == (4, 4)
    assert dict(read_picture_info(data).items) == {"small": "x"}


def test_many_long_texts_are_dropped_from_where_they_are_too_many():
    texts = [chunk(b"tEXt", f"k{index}".encode() + b"\0" + b"a" * 2**19) for index in range(40)]
    assert 10 < len(read_picture_info(png(4, 4, *texts)).items) < 20


def test_ordinary_compressed_texts_are_read():
    data = png(4, 4, chunk(b"iTXt", b"parameters\0\1\0\0\0" + zlib.compress("猫".encode())))
    assert read_picture_info(data).infotext == "猫"


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's remarks about what it skips
@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_files_give_a_picture_or_our_error(data):
    good = bytearray(
        saved(picture(), data.draw(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])))
    )
    at = data.draw(st.integers(0, len(good) - 1))
    good[at : at + 4] = data.draw(st.binary(max_size=6))
    with contextlib.suppress(InvalidImage, LimitExceeded):
        open_image(bytes(good), ImageLimits(max_pixels=1_000_000))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_can_be_looked_at_as_chunks(noise):
    assert all(start < end <= len(noise) + 8 for _, start, end in chunks(SIGNATURE + noise))


GOOD = base64.b64encode(b"picture").decode()


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"data:image/png;base64,{GOOD}",
        f"data:image/jpeg;charset=x;base64,{GOOD}",
        GOOD.rstrip("="),
        f"\n{GOOD[:4]}\r\n {GOOD[4:]}",
    ],
)
def test_base64_forms(text):
    assert decode_base64(text) == b"picture"


@pytest.mark.parametrize(
    "text",
    ["", "x", "data:image/png;base64,", "data:image/png", f"data:text/html;base64,{GOOD}", "/etc/passwd", "C:\\x", "file:///etc/passwd", "ftp://a/b", "http://127.0.0.1/x.png", "é" * 8, "\ud800"],
)  # fmt: skip
def test_what_is_not_base64_is_refused(text):
    with pytest.raises(InvalidImage, match="init_images: Invalid encoded image"):
        open_image(decode_base64(text, field="init_images"), field="init_images")


def test_long_base64_is_refused_before_decoding():
    with pytest.raises(LimitExceeded):
        decode_base64("A" * 200, ImageLimits(max_bytes=100))
