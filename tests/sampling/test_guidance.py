"""Guidance against the formula written out, with a network whose answer tells what it was given."""

import pytest
import torch

from modules.domain.errors import InvalidRequest
from modules.domain.plan import GuidanceOptions
from modules.sampling.guidance import Guided
from modules.sampling.prediction import Prediction, SigmaTable, scaled_linear_alphas
from modules.sampling.types import Conditioning, Timeline

PREDICTION = Prediction.named("x0", SigmaTable.from_alphas(scaled_linear_alphas()))
X = torch.randn(2, 1, 2, 2, generator=torch.Generator().manual_seed(0))
SIGMA = torch.tensor([5.0, 5.0])


def line(*values, ends=(999,), weight=1.0, length=77, pooled=None):
    """A sub-prompt whose rows are constant vectors, so that a mean identifies them."""
    tokens = torch.tensor(values).view(-1, 1, 1).expand(-1, length, 3).clone()
    pooled = None if pooled is None else torch.tensor(pooled).view(-1, 1)
    return Timeline(ends=ends, weight=weight, conditioning=Conditioning(tokens=tokens, pooled=pooled))


class Recorder:
    """Network that answers the mean of its tokens and keeps its calls."""

    def __init__(self):
        self.calls = []

    def __call__(self, x, t, conditioning):
        self.calls.append(conditioning)
        return conditioning.tokens.mean(dim=(1, 2)).view(-1, 1, 1, 1).expand_as(x)


def guided(positives, negatives, network=None, total=10, **options):
    known = {"empty_chunk", "image_extras", "cfg_factor", "needs_uncond", "timesteps", "first_call", "image_scale"}
    arguments = {name: options.pop(name) for name in known & set(options)}
    options.setdefault("cfg_scale", 7.0)
    guidance = GuidanceOptions(**options)
    network = network or Recorder()
    return Guided(network, PREDICTION, positives, negatives, guidance, total_calls=total, **arguments)


def values(result):
    return [pytest.approx(float(v), rel=1e-5, abs=1e-5) for v in result.mean(dim=(1, 2, 3))]


def test_formula():
    denoise = guided([[line(2.0)], [line(3.0)]], [line(0.5), line(1.0)])
    assert values(denoise(X, SIGMA)) == [0.5 + 7 * 1.5, 1 + 7 * 2]


@pytest.mark.parametrize("amount", [0.0, 0.3, 1.0])
def test_rescaling_goes_back_to_the_contrast_of_the_prompt(amount):
    pattern = torch.randn(1, 4, 2, 2, generator=torch.Generator().manual_seed(1))

    def network(x, t, conditioning):
        return conditioning.tokens.mean(dim=(1, 2)).view(-1, 1, 1, 1) * pattern

    x = torch.zeros(2, 4, 2, 2)
    denoise = guided([[line(2.0)], [line(3.0)]], [line(0.5), line(1.0)], network, rescale=amount)
    for result, prompt, full in zip(denoise(x, SIGMA), (2.0, 3.0), (0.5 + 7 * 1.5, 1 + 7 * 2), strict=True):
        wanted = amount * full * (prompt / full) + (1 - amount) * full
        assert torch.allclose(result, wanted * pattern[0], atol=1e-4)


def test_composed_prompts_with_weights():
    positives = [[line(2.0, weight=0.5), line(4.0, weight=-0.25)], [line(3.0)]]
    denoise = guided(positives, [line(1.0), line(1.0)], cfg_scale=4.0)
    assert values(denoise(X, SIGMA)) == [1 + 4 * (0.5 * 1 - 0.25 * 3), 1 + 4 * 2]


def test_prompts_change_along_the_calls():
    network = Recorder()
    denoise = guided([[line(1.0, 2.0, ends=(1, 9))]] * 2, [line(0.0)] * 2, network, cfg_scale=2.0)
    found = [float(denoise(X, SIGMA).mean()) for _ in range(4)]
    assert found == [2.0, 2.0, 4.0, 4.0]
    assert network.calls[0] is network.calls[1], "nothing is assembled while the selection stays"
    assert network.calls[1] is not network.calls[2]
    assert denoise.calls == 4


def test_a_continued_run_goes_on_counting():
    denoise = guided([[line(1.0, 2.0, ends=(1, 9))]] * 2, [line(0.0)] * 2, cfg_scale=2.0, first_call=2)
    assert float(denoise(X, SIGMA).mean()) == 4.0


@pytest.mark.parametrize(
    ("lengths", "options", "sizes"),
    [
        ((77, 77), {}, [4]),
        ((77, 77), {"batch_cond_uncond": False}, [2, 2]),
        ((154, 77), {}, [2, 2]),
        ((154, 77), {"batch_cond_uncond": False}, [2, 2]),
    ],
)
def test_calls(lengths, options, sizes):
    network = Recorder()
    denoise = guided([[line(2.0, length=lengths[0])]] * 2, [line(0.5, length=lengths[1])] * 2, network, **options)
    assert values(denoise(X, SIGMA)) == [0.5 + 7 * 1.5] * 2
    assert [len(c.tokens) for c in network.calls] == sizes


@pytest.mark.parametrize(("positive", "negative"), [(231, 77), (77, 231)])
def test_padding_with_empty_chunks(positive, negative):
    network = Recorder()
    denoise = guided(
        [[line(2.0, length=positive)]],
        [line(0.5, length=negative)],
        network,
        pad_cond_uncond=True,
        empty_chunk=torch.full((1, 77, 3), 9.0),
    )
    denoise(X[:1], SIGMA[:1])
    (call,) = network.calls
    assert call.tokens.shape == (2, 231, 3)
    shorter = call.tokens[1 if positive > negative else 0]
    assert (shorter[77:] == 9).all()
    assert (shorter[:77] != 9).all()
    assert denoise.facts.padded


def test_old_padding_follows_the_positive_length():
    network = Recorder()
    denoise = guided([[line(2.0, length=77)]], [line(0.5, length=154)], network, pad_cond_uncond_v0=True)
    denoise(X[:1], SIGMA[:1])
    assert network.calls[0].tokens.shape == (2, 77, 3)
    denoise = guided([[line(2.0, length=154)]], [line(0.5, length=77)], network, pad_cond_uncond_v0=True)
    denoise(X[:1], SIGMA[:1])
    assert (network.calls[1].tokens[1] == 0.5).all()
    assert denoise.facts.padded


def test_no_padding_is_reported_when_lengths_agree():
    denoise = guided([[line(2.0)]], [line(0.5)], pad_cond_uncond=True, empty_chunk=torch.zeros(1, 77, 3))
    denoise(X[:1], SIGMA[:1])
    assert not denoise.facts.padded


def test_unequal_prompts_of_a_batch_repeat_their_last_vector():
    network = Recorder()
    guided([[line(2.0, length=77)], [line(3.0, length=154)]], [line(0.0)] * 2, network)(X, SIGMA)
    assert network.calls[0].tokens.shape == (2, 154, 3)
    assert (network.calls[0].tokens[0] == 2).all()


def test_minimum_sigma_skips_odd_calls():
    network = Recorder()
    denoise = guided([[line(2.0)]], [line(0.5)], network, s_min_uncond=6.0)
    found = [float(denoise(X[:1], SIGMA[:1]).mean()) for _ in range(3)]
    assert found == [11.0, 2.0, 11.0]
    assert [len(c.tokens) for c in network.calls] == [2, 1, 2]
    assert denoise.facts.ngms
    every = guided([[line(2.0)]], [line(0.5)], s_min_uncond=6.0, s_min_uncond_all=True)
    assert float(every(X[:1], SIGMA[:1]).mean()) == 2.0
    above = guided([[line(2.0)]], [line(0.5)], s_min_uncond=4.0, s_min_uncond_all=True)
    assert float(above(X[:1], SIGMA[:1]).mean()) == 11.0
    assert not above.facts.ngms
    family = guided([[line(2.0)]], [line(0.5)], s_min_uncond=6.0, s_min_uncond_all=True, timesteps=True)
    assert float(family(X[:1], SIGMA[:1]).mean()) == 11.0


def test_early_calls_without_the_negative_prompt():
    parts = [line(2.0, weight=0.5), line(4.0, weight=0.25)]
    denoise = guided([parts], [line(1.0)], skip_early=0.1, total=10)
    found = [float(denoise(X[:1], SIGMA[:1]).mean()) for _ in range(3)]
    first = 2 + 0.25 * 2
    assert found == [first, first, 1 + 7 * (0.5 + 0.25 * 3)]
    assert denoise.facts.skipped_early


def test_a_scale_of_one_needs_no_negative_prompt():
    network = Recorder()
    denoise = guided([[line(2.0)]] * 2, [line(0.5)] * 2, network, cfg_scale=1.0)
    assert values(denoise(X, SIGMA)) == [2.0, 2.0]
    assert len(network.calls[0].tokens) == 2
    halves = guided([[line(2.0, weight=0.5)]], [line(1.0)], network, cfg_scale=1.0)
    assert values(halves(X[:1], SIGMA[:1])) == [1.5]
    kept = guided([[line(2.0)]], [line(0.5)], cfg_scale=1.0, needs_uncond=True)
    kept(X[:1], SIGMA[:1])
    assert values(kept.unconditional()) == [0.5]


def test_cfg_factor_and_the_unconditional_estimate():
    denoise = guided([[line(2.0)]], [line(0.5)], cfg_factor=1 / 12.5, needs_uncond=True)
    with pytest.raises(RuntimeError, match="before the first call"):
        denoise.unconditional()
    assert values(denoise(X[:1], SIGMA[:1])) == [0.5 + 7 / 12.5 * 1.5]
    assert values(denoise.unconditional()) == [0.5]


def test_pooled_and_image_inputs_follow_their_rows():
    network = Recorder()
    masks = torch.tensor([10.0, 20.0])
    denoise = guided(
        [[line(2.0, pooled=[1.0]), line(3.0, pooled=[2.0])], [line(4.0, pooled=[3.0])]],
        [line(0.0, pooled=[4.0]), line(0.0, pooled=[5.0])],
        network,
        image_extras={"mask": masks},
    )
    denoise(X, SIGMA)
    (call,) = network.calls
    assert call.pooled.flatten().tolist() == [1, 2, 3, 4, 5]
    assert call.extras["mask"].tolist() == [10, 10, 20, 10, 20]


def test_every_picture_needs_prompts():
    with pytest.raises(InvalidRequest, match="prompt"):
        guided([[line(1.0)], []], [line(0.0)] * 2)


class Editor:
    """Network that answers the mean of its tokens, three times the picture it is shown, and their product."""

    def __init__(self):
        self.sizes = []

    def __call__(self, x, t, conditioning):
        self.sizes.append(len(x))
        text, seen = conditioning.tokens.mean(dim=(1, 2)), conditioning.extras["concat"].mean(dim=(1, 2, 3))
        return (text + 3 * seen + text * seen).view(-1, 1, 1, 1).expand_as(x)


def answer(text, picture):
    return text + 3 * picture + text * picture


@pytest.mark.parametrize(
    ("length", "together", "sizes"), [(77, True, [6]), (154, True, [2, 2, 2]), (77, False, [2] * 3)]
)
def test_a_scale_for_the_picture_of_its_own(length, together, sizes):
    """Brooks et al. 2022, arXiv:2211.09800, equation 3, written out."""
    network, pictures, prompts, negatives = Editor(), (5.0, -1.0), (2.0, 4.0), (0.5, 1.0)
    denoise = guided(
        [[line(value, length=length)] for value in prompts],
        [line(value) for value in negatives],
        network,
        cfg_scale=7.5,
        batch_cond_uncond=together,
        image_extras={"concat": torch.tensor(pictures).view(2, 1, 1, 1).expand(2, 4, 2, 2)},
        image_scale=1.5,
    )
    wanted = [
        answer(negative, 0)
        + 1.5 * (answer(negative, picture) - answer(negative, 0))
        + 7.5 * (answer(prompt, picture) - answer(negative, picture))
        for prompt, negative, picture in zip(prompts, negatives, pictures, strict=True)
    ]
    assert values(denoise(X, SIGMA)) == wanted
    assert network.sizes == sizes
    assert values(denoise.unconditional()) == [answer(negative, 0) for negative in negatives]


def test_a_picture_without_a_scale_of_its_own_is_seen_by_both_sides():
    network = Editor()
    extras = {"concat": torch.full((2, 4, 2, 2), 5.0)}
    denoise = guided([[line(2.0)]] * 2, [line(0.5)] * 2, network, image_extras=extras)
    shown = answer(0.5, 5)
    assert values(denoise(X, SIGMA)) == [shown + 7 * (answer(2, 5) - shown)] * 2
    assert network.sizes == [4]


def test_the_picture_counts_where_the_negative_prompt_would_cancel_out():
    extras = {"concat": torch.full((1, 4, 2, 2), 5.0)}
    denoise = guided([[line(2.0)]], [line(0.5)], Editor(), cfg_scale=1.0, image_extras=extras, image_scale=2.0)
    assert values(denoise(X[:1], SIGMA[:1])) == [answer(2, 5) + answer(0.5, 5) - answer(0.5, 0)]


def test_composed_prompts_have_no_scale_for_the_picture():
    extras = {"concat": torch.zeros(1, 4, 2, 2)}
    with pytest.raises(InvalidRequest, match="unless the image CFG scale is 1"):
        guided([[line(2.0), line(3.0)]], [line(0.5)], image_extras=extras, image_scale=1.5)
    guided([[line(2.0), line(3.0)]], [line(0.5)], image_extras=extras)
