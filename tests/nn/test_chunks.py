"""Chunks of 77 tokens: recordings, comma rule, padding, embeddings."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from modules.domain.errors import InvalidRequest
from modules.nn.chunks import BOS, COMMA, EOS, Chunk, Embedding, chunk, chunk_by_tokens, count, counter_limit, even_out
from modules.nn.clip_tokenizer import load_clip_tokenizer
from modules.prompting.emphasis import Fragment, parse_emphasis


def words(text: str) -> list[int]:
    """A tokenizer in which every word is a number and `,` a comma."""
    return [COMMA if word == "," else int(word) for word in text.split()]


def numbers(count: int, start: int = 1) -> str:
    return " ".join(str(i) for i in range(start, start + count))


def text_of(one: Chunk) -> list[int]:
    return list(one.ids[1 : one.ids.index(EOS)])


def test_chunks_match_the_recordings(shared_dir: Path):
    tokenizer = load_clip_tokenizer()
    recorded = json.loads((shared_dir / "golden" / "internals" / "tokens.json").read_text(encoding="utf-8"))
    assert recorded
    for key, expected in recorded.items():
        option, _, text = key.partition(" | ")
        chunks = chunk(parse_emphasis(text), tokenizer.encode, backtrack=int(option.removeprefix("backtrack=")))
        got = [{"tokens": list(one.ids), "multipliers": list(one.weights)} for one in chunks]
        assert {"count": count(chunks), "chunks": got} == expected, key


def test_an_empty_prompt_is_one_chunk_of_padding():
    for pieces in ((), (Fragment(""),)):
        (one,) = chunk(pieces, words)
        assert one.ids == (BOS, *[EOS] * 76)
        assert one.weights == (1.0,) * 77
        assert count([one]) == 0


def test_padding_after_the_first_end_token():
    (one,) = chunk([Fragment("5 6", 1.5)], words, pad=0)
    assert one.ids == (BOS, 5, 6, EOS, *[0] * 73)
    assert one.weights == (1.0, 1.5, 1.5, *[1.0] * 74)
    (full,) = chunk([Fragment(numbers(75))], words, pad=0)
    assert full.ids[-1] == EOS


@pytest.mark.parametrize(("since", "backtrack"), [(1, 1), (20, 20), (60, 75)])
def test_words_after_a_late_comma_move_to_the_next_chunk(since: int, backtrack: int):
    """`since` tokens, the comma included, stand at the end of a full chunk."""
    text = f"{numbers(75 - since)} , {numbers(since + 5, start=100)}"
    one, two = chunk([Fragment(text)], words, backtrack=backtrack)
    assert text_of(one) == words(f"{numbers(75 - since)} ,")
    assert text_of(two) == words(numbers(since + 5, start=100))


@pytest.mark.parametrize(("since", "backtrack"), [(21, 20), (1, 0), (0, 20)])
def test_an_early_comma_or_one_behind_a_full_chunk_moves_nothing(since: int, backtrack: int):
    text = f"{numbers(75 - since)} , {numbers(since + 5, start=100)}"
    one, two = chunk([Fragment(text)], words, backtrack=backtrack)
    assert text_of(one) == words(text)[:75]
    assert text_of(two) == words(text)[75:]


def test_break_fills_the_chunk_and_counts_it_full():
    pieces = [Fragment("1 2"), Fragment("", 1.0, is_break=True), Fragment("3")]
    chunks = chunk(pieces, words)
    assert [text_of(one) for one in chunks] == [[1, 2], [3]]
    assert count(chunks) == 76
    assert count(chunk(pieces[:2], words)) == 75
    assert [counter_limit(used) for used in (0, 1, 75, 76)] == [75, 75, 75, 150]


def test_texts_of_a_batch_get_the_same_number_of_chunks():
    long, short = chunk([Fragment(numbers(160))], words), chunk([Fragment("1")], words)
    (empty,) = chunk([], words)
    evened = even_out([long, short], empty)
    assert [len(chunks) for chunks in evened] == [3, 3]
    assert evened[1][1:] == [empty, empty]


def embedding_777(vectors: int):
    """Find the name `777 778`, which stands for some vectors."""

    def find(ids: Sequence[int], position: int) -> Embedding | None:
        return (2, vectors, "style") if list(ids[position : position + 2]) == [777, 778] else None

    return find


def test_an_embedding_takes_its_slots_and_the_weight_around_it():
    (one,) = chunk([Fragment("1 777 778 2 777", 1.2)], words, find_embedding=embedding_777(3))
    assert text_of(one) == [1, 0, 0, 0, 2, 777]
    assert one.fixes == ((2, "style"),)
    assert set(one.weights[1:7]) == {1.2}


def test_an_embedding_that_does_not_fit_starts_a_chunk():
    one, two = chunk([Fragment(numbers(70) + " 777 778")], words, find_embedding=embedding_777(6))
    assert (len(text_of(one)), one.fixes) == (70, ())
    assert (text_of(two), two.fixes) == ([0] * 6, ((1, "style"),))


def test_an_embedding_moves_with_the_words_after_a_comma():
    text = f"777 778 {numbers(60, start=100)} , 777 778 {numbers(20, start=200)}"
    one, two = chunk([Fragment(text)], words, find_embedding=embedding_777(2))
    assert one.fixes == ((1, "style"),)
    assert two.fixes == ((1, "style"),)
    assert text_of(two)[:3] == [0, 0, 200]


def test_an_embedding_larger_than_a_chunk_is_refused_by_name():
    with pytest.raises(InvalidRequest, match="style"):
        chunk([Fragment("777 778")], words, find_embedding=embedding_777(76))


def test_brackets_among_the_tokens():
    tokenizer = load_clip_tokenizer()
    ids = tokenizer.encode("a (red:1.4) apple, [table], ((lamp)), )(ok")
    one = chunk_by_tokens(ids, tokenizer.bracket_factors)
    read = [(tokenizer.decode([token]), round(weight, 4)) for token, weight in zip(one.ids, one.weights, strict=True)]
    placed = 1 + len(text_of(one))
    less = round(1 / 1.1, 4)
    assert read[1:placed] == [
        ("a", 1), ("red", 1.1), (":", 1.1), ("1", 1.1), (".", 1.1), ("4", 1.1), ("apple", 1), (",", 1),
        ("table", less), ("lamp", 1.21), (")(", 1), ("ok", 1),
    ]  # fmt: skip
    assert one.counted == placed - 1


def test_tokens_beyond_one_chunk_are_cut_off():
    one = chunk_by_tokens(words(numbers(80)), {3: 2.0})
    assert text_of(one) == [1, 2, *range(4, 77)]
    assert one.weights == (1.0, 1.0, 1.0, *[2.0] * 73, 1.0)
    assert one.counted == 79


def test_embeddings_among_the_tokens_stay_where_the_text_ends():
    find = {74: (1, 5, "late"), 76: (1, 2, "gone")}
    one = chunk_by_tokens(words(numbers(80)), {}, find_embedding=lambda ids, position: find.get(position))
    assert one.fixes == ((75, "late"),)
    assert one.ids[74:] == (74, 0, EOS)
