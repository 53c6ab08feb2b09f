"""Masks: where they come from, how they soften, what lies around them; colours of one picture given to another."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import convolve1d

from modules.imaging import mask as masks
from modules.imaging.colour import from_lab, matched_channel, to_lab, with_colours_of, with_luminosity


def square(size: int = 64, box: tuple[int, int, int, int] = (20, 24, 40, 44)) -> Image.Image:
    mask = Image.new("L", (size, size), 0)
    mask.paste(255, box)
    return mask


def noise(seed: int, low: int = 0, high: int = 256) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(low, high, (32, 32, 3), np.uint8))


def test_transparency_is_the_mask_where_it_varies() -> None:
    image = Image.new("RGBA", (4, 4), (255, 255, 255, 100))
    image.putpixel((0, 0), (0, 0, 0, 200))
    assert masks.mask_of(image, rounded=True).getpixel((0, 0)) == 255
    assert masks.mask_of(image, rounded=True).getpixel((1, 1)) == 0
    assert masks.mask_of(image, rounded=False).getpixel((1, 1)) == 100
    opaque = Image.new("RGBA", (4, 4), (90, 90, 90, 255))
    assert masks.mask_of(opaque, rounded=True).getpixel((0, 0)) == 90


@pytest.mark.parametrize("sigma", [1, 4, 8, 64])
def test_blur_is_a_normal_curve(sigma: int) -> None:
    weights = masks.whole_weights(sigma)
    assert sum(weights) == 256
    reach = int(2.5 * sigma + 0.5)
    exact = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    assert np.abs(np.array(weights) - 256 * exact / exact.sum()).max() < 1.5
    ours = np.asarray(masks.blurred(square(), sigma, 0)).astype(float)
    wanted = convolve1d(np.asarray(square()).astype(float), exact / exact.sum(), axis=1, mode="mirror")
    assert np.abs(ours - wanted).max() <= 3


def test_blur_leaves_the_other_axis_alone() -> None:
    assert np.array_equal(np.asarray(masks.blurred(square(), 0, 0)), np.asarray(square()))
    one, other = np.asarray(masks.blurred(square(), 5, 0)), np.asarray(masks.blurred(square(), 0, 5))
    assert (one[:24] == 0).all()
    assert (other[:, :20] == 0).all()
    assert (one[30, 15], other[20, 30]) > (0, 0)


def test_region_stays_inside_and_a_blank_mask_has_none() -> None:
    assert masks.region(square(), 0) == (20, 24, 40, 44)
    assert masks.region(square(), 30) == (0, 0, 64, 64)
    assert masks.region(Image.new("L", (8, 8)), 4) is None


@pytest.mark.parametrize("box", [(0, 0, 10, 30), (50, 2, 64, 8), (20, 24, 40, 44), (0, 60, 64, 64), (30, 0, 34, 64)])
@pytest.mark.parametrize("wanted", [(64, 64), (128, 64), (64, 128)])
def test_boxes_grow_to_the_proportions_inside_the_picture(
    box: tuple[int, int, int, int], wanted: tuple[int, int]
) -> None:
    left, top, right, bottom = masks.in_proportion(box, wanted, (64, 64))
    assert 0 <= left <= box[0]
    assert 0 <= top <= box[1]
    assert box[2] <= right <= 64
    assert box[3] <= bottom <= 64
    whole = (right - left, bottom - top)
    if 64 not in whole:
        assert abs(whole[0] / whole[1] - wanted[0] / wanted[1]) < 0.15


def test_filling_and_overlaying_change_only_their_side() -> None:
    image, mask = noise(1).resize((64, 64)), square()
    inside = np.asarray(mask) > 0
    filled = np.asarray(masks.filled(image, mask)).astype(int)
    assert np.abs(filled - np.asarray(image).astype(int))[~inside].max() <= 1
    assert (np.abs(filled - np.asarray(image).astype(int))[inside] > 5).any()
    over = np.asarray(masks.overlaid(Image.new("RGB", (64, 64), "red"), masks.outside(image, mask)))
    assert (over[inside] == (255, 0, 0)).all()
    assert np.array_equal(over[~inside], np.asarray(image)[~inside])
    cut = np.asarray(masks.cut_out(image, mask))
    assert (cut[~inside] == 0).all()
    assert np.array_equal(cut[inside][:, :3], np.asarray(image)[inside])


def test_lab_and_back() -> None:
    image = noise(2)
    off = np.abs(np.asarray(from_lab(to_lab(image))).astype(int) - np.asarray(image))
    assert off.mean() < 1.5
    assert off.max() < 32
    greys = Image.fromarray(np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2))
    lab = to_lab(greys)
    assert lab[0, 0].tolist() == [0, 128, 128]
    assert lab[0, 255].tolist() == [255, 128, 128]


def test_matching_takes_over_the_distribution() -> None:
    dark, bright = np.asarray(noise(3, 0, 100)), np.asarray(noise(4, 150, 256))
    matched = matched_channel(dark[..., 0], bright[..., 0])
    assert abs(float(matched.mean()) - float(bright[..., 0].mean())) < 3
    order = np.argsort(dark[..., 0].ravel(), kind="stable")
    assert (np.diff(matched.ravel()[order].astype(int)) >= 0).all()


def test_colours_come_from_the_model_and_luminosity_stays() -> None:
    image, model = noise(5, 60, 120), Image.new("RGB", (32, 32), (120, 90, 60))
    luma = np.array([0.3, 0.59, 0.11])
    result = with_colours_of(image, model)
    assert np.abs(np.asarray(result) @ luma - np.asarray(image) @ luma).max() < 3
    warm = np.asarray(result).astype(int)
    assert (warm[..., 0] > warm[..., 2]).all()
    assert np.abs(np.asarray(with_luminosity(image, image)).astype(int) - np.asarray(image)).max() <= 1
