"""What a picture is about, found without a network."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from modules.imaging.focal import corner_centre, covering, focal_box, framed, fullest_centre


def with_square(left: int, top: int) -> Image.Image:
    """Return a plain picture of 200x64 with a white square of 20 pixels."""
    image = Image.new("RGB", (200, 64), (60, 60, 60))
    ImageDraw.Draw(image).rectangle((left, top, left + 19, top + 19), fill="white")
    return image


def test_the_corners_of_a_square_have_its_centre():
    found = corner_centre(np.asarray(with_square(150, 20).convert("L"), dtype=np.float64))
    assert found == pytest.approx((159.5, 29.5), abs=1)
    assert corner_centre(np.full((32, 32), 7.0)) is None


def test_the_fullest_part_is_where_the_noise_is():
    grey = np.full((64, 256), 100.0)
    grey[:, 180:244] = np.random.default_rng(1).integers(0, 256, (64, 64))
    assert fullest_centre(grey, (64, 64)) == pytest.approx((212, 32), abs=2)


def test_crops_follow_the_weights_and_stay_inside():
    image = with_square(170, 20)
    assert focal_box(image, (64, 64), edges=1, entropy=0) == (136, 0, 200, 64)
    assert focal_box(image, (64, 64), edges=0, entropy=0) == (68, 0, 132, 64)
    assert focal_box(with_square(100, 20), (64, 64), edges=1, entropy=0) == pytest.approx((78, 0, 142, 64), abs=1)
    plain = Image.new("RGB", (200, 64), "grey")
    assert focal_box(plain, (64, 64), edges=1, entropy=1) == pytest.approx((68, 0, 132, 64), abs=2)


@pytest.mark.parametrize(("size", "wanted"), [((100, 400), (64, 256)), ((400, 100), (256, 64)), ((64, 64), (64, 64))])
def test_pictures_are_scaled_to_cover(size: tuple[int, int], wanted: tuple[int, int]):
    assert covering(Image.new("L", size), (64, 64)).size == wanted


def test_the_frame_is_around_what_is_kept():
    shown = framed(Image.new("RGB", (32, 16)), (8, 0, 24, 16))
    assert (shown.getpixel((8, 5)), shown.getpixel((5, 5))) == ((255, 59, 48), (0, 0, 0))
