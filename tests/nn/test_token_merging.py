"""Merged tokens against the paper's steps written out one by one."""

import math

import pytest
import torch
from torch import Tensor

from modules.families.sd1.network import UNet, UNetConfig
from modules.nn.token_merging import blocks_of, match, merged_tokens


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def literal(tokens: Tensor, height: int, width: int, ratio: float) -> list[list[int]]:
    """Return for each token of one row [L, D] the group of positions whose mean stands for it."""
    targets = [y * width + x for y in range(0, height - 1, 2) for x in range(0, width - 1, 2)]
    others = [i for i in range(height * width) if i not in targets]

    def likeness(i: int, j: int) -> float:
        return float(tokens[i] @ tokens[j]) / math.sqrt(float(tokens[i] @ tokens[i]) * float(tokens[j] @ tokens[j]))

    nearest = {i: max(targets, key=lambda j: likeness(i, j)) for i in others}
    joining = sorted(others, key=lambda i: -likeness(i, nearest[i]))[: int(height * width * ratio)]
    groups = {j: [j, *(i for i in joining if nearest[i] == j)] for j in targets}
    return [groups[nearest[i]] if i in joining else groups.get(i, [i]) for i in range(height * width)]


@pytest.mark.parametrize(("height", "width"), [(4, 6), (5, 7)])
@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9])
def test_tokens_join_the_most_similar_target(height: int, width: int, ratio: float):
    x = draw(2, height * width, 5)
    found = match(x, height, width, ratio)
    assert found is not None
    merged = found.merge(x)
    assert merged.shape[1] == x.shape[1] - min(int(x.shape[1] * ratio), x.shape[1] - (height // 2) * (width // 2))
    back = found.split(merged)
    for row, tokens in zip(back, x, strict=True):
        wanted = torch.stack([tokens[group].mean(dim=0) for group in literal(tokens, height, width, ratio)])
        torch.testing.assert_close(row, wanted)


@pytest.mark.parametrize(("height", "width", "ratio"), [(4, 4, 0.0), (4, 4, 0.01), (1, 8, 0.5)])
def test_nothing_to_merge(height: int, width: int, ratio: float):
    assert match(draw(1, height * width, 3), height, width, ratio) is None


def network() -> UNet:
    config = UNetConfig(
        model_channels=8, channel_mult=(1, 2), num_res_blocks=1, transformer_depth=(1, 1), context_dim=6,
        num_heads=2, norm_groups=4,
    )  # fmt: skip
    made = UNet(config).eval()
    for number, tensor in enumerate(made.state_dict().values()):
        tensor.copy_(0.2 * draw(*tensor.shape, seed=number))
    return made


def test_only_full_resolution_attends_to_fewer_tokens_and_nothing_stays_behind():
    unet, lengths = network(), []
    for block in blocks_of(unet):
        attend = block.attn1.attend
        block.attn1.attend = lambda q, k, v, attend=attend: lengths.append(q.shape[2]) or attend(q, k, v)
    inputs = draw(2, 4, 6, 4), torch.tensor([5.0, 5.0]), draw(2, 7, 6)
    with torch.inference_mode():
        plain = unet(*inputs)
        whole, lengths[:] = list(lengths), []
        with merged_tokens(unet, 0.5):
            merged = unet(*inputs)
        assert {24, 6} == set(whole)
        assert lengths == [{24: 12}.get(length, length) for length in whole]
        assert not torch.allclose(plain, merged, atol=1e-4)
        assert torch.equal(plain, unet(*inputs))


def test_equal_tokens_lose_nothing():
    unet = network()
    inputs = torch.ones(1, 4, 4, 4), torch.tensor([5.0]), draw(1, 7, 6)
    block = blocks_of(unet)[0]
    same = draw(1, 1, 8).expand(1, 16, 8)
    with torch.inference_mode():
        plain = block(same, inputs[2])
        with merged_tokens(unet, 0.5):
            unet(*inputs)  # tells the size of the latent
            torch.testing.assert_close(block(same, inputs[2]), plain)


def test_an_error_takes_the_hooks_away_too():
    unet = network()
    with pytest.raises(ZeroDivisionError), merged_tokens(unet, 0.5):
        raise ZeroDivisionError
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in unet.modules())
