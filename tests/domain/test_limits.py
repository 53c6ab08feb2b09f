"""What one request may ask for."""

import time
from contextlib import nullcontext

import pytest

from modules.domain.errors import InvalidRequest, LimitExceeded
from modules.domain.limits import Limits, check, count_schedules, num_images
from modules.domain.request import BatchSpec, Generation, GuidanceSpec, SamplingSpec, SeedSpec, Size


@pytest.mark.parametrize(
    ("request_", "field", "setting"),
    [
        (Generation(sampling=SamplingSpec(steps=10**7)), "steps", ""),
        (Generation(size=Size(width=2**31)), "width", ""),
        (Generation(size=Size(width=8000, height=8000)), "width x height", "api_max_result_mpixels"),
        (Generation(batch=BatchSpec(size=10**6)), "batch_size", ""),
        (Generation(batch=BatchSpec(count=10**9)), "n_iter", ""),
        (Generation(batch=BatchSpec(size=64, count=1000)), "all pictures", "api_max_total_mpixels"),
        (Generation(seed=SeedSpec(resize_from_width=10**6)), "seed_resize_from_w", ""),
        (Generation(prompt="x" * 50_001), "prompt", "api_max_prompt_chars"),
        (Generation(prompt=("x", "y" * 50_001)), "prompt", "api_max_prompt_chars"),
        (Generation(negative_prompt="a AND " * 5000), "negative_prompt", ""),
        (Generation(prompt="<lora:a:1>" * 65), "prompt", ""),
        (Generation(prompt="[a|b]" * 257), "prompt", ""),
        (Generation(styles=("s",) * 257), "styles", ""),
        (Generation(overrides={str(i): i for i in range(1001)}), "override_settings", ""),
    ],
)
def test_too_much_is_refused_by_name(request_: Generation, field: str, setting: str) -> None:
    with pytest.raises(LimitExceeded) as caught:
        check(request_, Limits())
    assert caught.value.field == field
    assert setting in str(caught.value)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (Generation(sampling=SamplingSpec(steps=0)), "steps"),
        (Generation(size=Size(height=0)), "height"),
        (Generation(guidance=GuidanceSpec(cfg_scale=1e308)), "cfg_scale"),
        (Generation(seed=SeedSpec(seed=2**64)), "seed"),
        (Generation(seed=SeedSpec(subseed_strength=-1e9)), "subseed_strength"),
    ],
)
def test_values_out_of_range_are_not_limits(request_: Generation, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check(request_, Limits())
    assert caught.value.field == field
    assert not isinstance(caught.value, LimitExceeded)


def test_the_largest_request_passes() -> None:
    check(Generation(size=Size(width=4000, height=8000), sampling=SamplingSpec(steps=500)), Limits())
    check(Generation(prompt="a AND " * 63 + "b", styles=("s",) * 256), Limits())


@pytest.mark.parametrize(
    ("text", "count"),
    [("[a:b:0.5]", 1), ("[a|b] [c]", 1), ("[a:[b:c:1]:2]", 2), (r"\[a:b\]", 0), ("]:|[", 0), ("[" * 9 + ":", 0)],
)
def test_counting_scheduled_parts(text: str, count: int) -> None:
    assert count_schedules(text) == count


def test_counting_is_linear() -> None:
    began = time.perf_counter()
    for text in ("(" * 50_000, "[" * 50_000, "<a:" * 16_000, "[a:b:1" * 8_000, " " * 50_000, "AND " * 12_000):
        with pytest.raises(LimitExceeded) if "AND" in text or "<" in text else nullcontext():
            check(Generation(prompt=text), Limits())
    assert time.perf_counter() - began < 1.0


def test_a_list_of_prompts_is_as_many_pictures():
    batch = BatchSpec(size=2, count=3)
    assert num_images(Generation(batch=batch)) == 6
    assert num_images(Generation(batch=batch, prompt=("a", "b"))) == 2
    assert num_images(Generation(prompt="a", negative_prompt=("x", "y", "z"))) == 3
    with pytest.raises(InvalidRequest, match="2 prompts and 1 negative"):
        num_images(Generation(prompt=("a", "b"), negative_prompt=("x",)))
    with pytest.raises(InvalidRequest, match="no text"):
        num_images(Generation(prompt=()))
