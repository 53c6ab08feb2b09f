"""Random numbers: recorded values, batch independence, Brownian paths."""

import math

import numpy as np
import pytest
import torch

from modules.domain.errors import UnknownName
from modules.sampling.brownian import BrownianNoise, BrownianPath
from modules.sampling.noise import SOURCES, ImageNoise, paste_centred, slerp, stream_opener
from modules.sampling.philox import Philox

CPU = torch.device("cpu")
SHAPE = (4, 16, 16)


@pytest.fixture(scope="module")
def recorded(shared_dir):
    return np.load(shared_dir / "golden/internals/rng.npz")


def check(found, values):
    torch.testing.assert_close(found, torch.tensor(values), rtol=0, atol=1e-6)


def test_philox_check_values():
    first_row = Philox(0).randn((3, 4))[0]
    expected = torch.tensor([-0.92466259, -0.42534415, -2.6438457, 0.14518388])
    torch.testing.assert_close(first_row, expected, rtol=0, atol=5e-7)


def test_philox_calls_are_independent():
    stream = Philox(3)
    first, second = stream.randn((1000,)), stream.randn((1000,))
    assert abs(float(np.corrcoef(first, second)[0, 1])) < 0.1
    assert torch.equal(Philox(3).randn((1000,)), first)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("seed", [0, 1, 12345, 4294967301, 9223372036854775807])
def test_recorded_noise(recorded, source, seed):
    noise = ImageNoise([seed], SHAPE, CPU, source=source)
    check(noise.initial(), recorded[f"{source}_seed{seed}_first"])
    check(noise.next(), recorded[f"{source}_seed{seed}_second"])


@pytest.mark.parametrize("source", SOURCES)
def test_recorded_variations(recorded, source):
    varied = ImageNoise([12345, 12346], SHAPE, CPU, source=source, subseeds=[777, 778], subseed_strength=0.3)
    check(varied.initial(), recorded[f"{source}_subseed0.3"])
    resized = ImageNoise([12345], SHAPE, CPU, source=source, seed_resize=(8, 8))
    check(resized.initial(), recorded[f"{source}_resize64"])
    check(resized.next(), recorded[f"{source}_resize64_second"])
    wide = ImageNoise([12345], SHAPE, CPU, source=source, seed_resize=(8, 24))
    check(wide.initial(), recorded[f"{source}_resize192x64"])
    shifted = ImageNoise([12345], SHAPE, CPU, source=source, eta_seed_delta=31337)
    check(shifted.initial(), recorded[f"{source}_seed12345_first"])
    check(shifted.next(), recorded[f"{source}_ensd31337_second"])


@pytest.mark.parametrize("source", SOURCES)
def test_a_batch_equals_single_pictures(source):
    seeds, subseeds = [7, 8, 9, 10], [1, 2, 3, 4]

    def run(picked):
        noise = ImageNoise(
            [seeds[i] for i in picked],
            SHAPE,
            CPU,
            source=source,
            subseeds=[subseeds[i] for i in picked],
            subseed_strength=0.4,
            eta_seed_delta=5,
        )
        return torch.stack([noise.initial(), noise.next(), noise.next()], dim=1)

    assert torch.equal(run(range(4)), torch.cat([run([i]) for i in range(4)]))


def test_an_unknown_source_is_refused():
    with pytest.raises(UnknownName, match="GPU, CPU, NV"):
        ImageNoise([1], SHAPE, CPU, source="dice")


def test_slerp_ends_and_the_parallel_case():
    low, high = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(slerp(0.0, low, high), low)
    torch.testing.assert_close(slerp(1.0, low, high), high)
    torch.testing.assert_close(slerp(0.25, low, 2 * low), 0.25 * low + 0.75 * 2 * low)


def test_pasting_crops_and_centres():
    frame, noise = torch.zeros(1, 4, 6), torch.arange(1.0, 17.0).view(1, 8, 2)
    out = paste_centred(noise, frame)
    assert torch.equal(out[0, :, 2:4], noise[0, 2:6])
    assert out[0, :, :2].abs().sum() == out[0, :, 4:].abs().sum() == 0
    assert frame.abs().sum() == 0


def test_recorded_brownian_noise(shared_dir):
    recorded = np.load(shared_dir / "golden/internals/brownian.npz")
    sigmas = torch.tensor(recorded["sigmas"])
    noise = BrownianNoise(SHAPE, sigmas, [12345, 12346], CPU, stream_opener("NV", CPU))
    for i in range(4):
        check(noise(sigmas[i], sigmas[i + 1]), recorded[f"step{i}"])
    check(noise(torch.tensor(7.0), torch.tensor(4.0)), recorded["half"])


def test_brownian_increments_add_up_and_do_not_depend_on_the_order_of_questions():
    opener = stream_opener("CPU", CPU)
    path = BrownianPath(SHAPE, 0.03, 14.6, 5, opener)
    whole = path.increment(1.0, 3.0)
    parts = path.increment(1.0, 1.7) + path.increment(1.7, 3.0)
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-5)
    fresh = BrownianPath(SHAPE, 0.03, 14.6, 5, opener)
    assert torch.equal(fresh.increment(1.7, 3.0), path.increment(1.7, 3.0))
    assert path.increment(2.0, 2.0).abs().sum() == 0


def test_brownian_increments_have_the_variance_of_the_interval():
    path = BrownianPath((4, 64, 64), 0.03, 14.6, 5, stream_opener("CPU", CPU))
    for a, b in ((0.03, 0.5), (2.0, 2.25), (0.03, 14.6)):
        assert float(path.increment(a, b).std()) == pytest.approx(math.sqrt(b - a), rel=0.03)
    near, far = path.increment(1.0, 2.0), path.increment(2.0, 3.0)
    assert abs(float((near * far).mean())) < 0.03


def test_brownian_batch_equals_single_pictures():
    sigmas, seeds = torch.tensor([10.0, 3.0, 0.5, 0.0]), [3, 4, 5, 6]
    opener = stream_opener("CPU", CPU)

    def run(some):
        noise = BrownianNoise(SHAPE, sigmas, some, CPU, opener)
        return torch.stack([noise(sigmas[0], sigmas[1]), noise(sigmas[1], sigmas[2])], dim=1)

    assert torch.equal(run(seeds), torch.cat([run([seed]) for seed in seeds]))


def test_one_joint_path_covers_the_batch():
    sigmas = torch.tensor([10.0, 3.0])
    noise = BrownianNoise(SHAPE, sigmas, [3, 3], CPU, stream_opener("CPU", CPU), joint=3)
    first, second = noise(sigmas[0], sigmas[1])
    assert not torch.equal(first, second)
