"""Emphasis and embeddings on the output of a text encoder, against the formulas of the specification."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from modules.domain.errors import UnknownName
from modules.domain.plan import TextOptions
from modules.families.chunked import Placement, emphasise, encode_texts
from modules.families.toy.tokenizer import ToyTokenizer
from modules.nn.chunks import Embedding

TOKENIZER = ToyTokenizer()
CPU = torch.device("cpu")


def encode(ids: Tensor, placements: Sequence[Placement]) -> Tensor:
    """Answer with the ids themselves, plus one everywhere, over which embeddings are laid."""
    z = ids[..., None].float().repeat(1, 1, 2) + 1
    for row, position, vectors in placements:
        z[row, position : position + len(vectors)] = vectors
    return z


def test_original_emphasis_keeps_the_mean_over_all_rows():
    z = torch.randn(3, 77, 4, generator=torch.Generator().manual_seed(0)) + 0.5
    weights = torch.ones(3, 77)
    weights[1, 5:9] = 1.8
    out = emphasise(z, weights, "Original")
    assert float(out.mean()) == pytest.approx(float(z.mean()), rel=1e-5)
    assert not torch.allclose(out[0], z[0]), "rows share one mean, so one row's emphasis reaches the others"
    ratio = out / z
    torch.testing.assert_close(ratio[1, 5:9] / ratio[0, 5:9], torch.full((4, 4), 1.8))


def test_no_norm_multiplies_and_ignore_leaves_alone():
    z, weights = torch.randn(1, 77, 4), torch.full((1, 77), 2.0)
    assert torch.equal(emphasise(z, weights, "No norm"), 2 * z)
    assert emphasise(z, weights, "Ignore") is z
    assert emphasise(z, weights, "None") is z


def test_each_chunk_is_normalised_by_itself():
    options = TextOptions()
    text = "(a:1.5) BREAK b"
    whole = encode_texts(encode, TOKENIZER, [text], options, device=CPU)
    first = encode_texts(encode, TOKENIZER, ["(a:1.5)"], options, device=CPU)
    second = encode_texts(encode, TOKENIZER, ["b"], options, device=CPU)
    assert torch.equal(whole, torch.cat([first, second], dim=1))


def test_shorter_rows_are_filled_with_empty_chunks():
    options = TextOptions(emphasis="No norm")
    rows = encode_texts(encode, TOKENIZER, ["a", "a BREAK b"], options, device=CPU)
    empty = encode_texts(encode, TOKENIZER, [""], options, device=CPU)
    assert torch.equal(rows[0, 77:], empty[0])


def test_unknown_modes_are_refused():
    with pytest.raises(UnknownName, match="emphasis mode 'Loud' not found; known: Original"):
        encode_texts(encode, TOKENIZER, ["a"], TextOptions(emphasis="Loud"), device=CPU)


class OneEmbedding:
    """An embedding of two vectors under the name `style`."""

    def find(self, ids: Sequence[int], position: int) -> Embedding | None:
        name = TOKENIZER.encode("style")
        return (len(name), 2, "style") if list(ids[position : position + len(name)]) == name else None

    def vectors(self, key: str) -> Tensor:
        assert key == "style"
        return torch.tensor([[-5.0, -6.0], [-7.0, -8.0]])


def test_embeddings_are_placed_in_their_row_with_the_weight_of_the_text():
    rows = encode_texts(
        encode,
        TOKENIZER,
        ["a b", "a (style:2) b"],
        TextOptions(emphasis="No norm"),
        device=CPU,
        embeddings=OneEmbedding(),
    )
    assert rows[1, 2:4].tolist() == [[-10.0, -12.0], [-14.0, -16.0]]
    assert torch.equal(rows[1, 4], rows[0, 2])
    assert (rows[0] > 0).all()


class Late:
    """An embedding of five vectors in place of the word `late`."""

    def find(self, ids: Sequence[int], position: int) -> Embedding | None:
        return (1, 5, "late") if ids[position] == TOKENIZER.encode("late")[0] else None

    def vectors(self, key: str) -> Tensor:
        return torch.full((5, 2), 500.0)


def test_the_old_way_weighs_what_follows_a_bracket_and_cuts_off():
    options = TextOptions(emphasis="No norm", old_emphasis=True)
    old = encode_texts(encode, TOKENIZER, ["a ((b) c"], options, device=CPU)
    plain = encode_texts(encode, TOKENIZER, ["a b c"], options, device=CPU)
    factors = torch.ones(1, 77, 1)
    factors[0, 2], factors[0, 3] = 1.1**2, 1.1
    torch.testing.assert_close(old, plain * factors)
    text = " ".join(f"w{i}" for i in range(73)) + " late end"
    cut = encode_texts(encode, TOKENIZER, [text], options, device=CPU, embeddings=Late())
    assert cut.shape == (1, 77, 2)
    assert (cut[0, 74:] == 500).all()
    without = replace(options, emphasis="None")
    kept = encode_texts(encode, TOKENIZER, ["a ((b) c"], without, device=CPU)
    assert int((kept[0, :, 0] - 1 != TOKENIZER.eos).sum()) == 1 + len(TOKENIZER.encode("a ((b) c"))
