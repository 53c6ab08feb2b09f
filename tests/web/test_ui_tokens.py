"""What the counters beside the prompts show."""

import pytest
import torch

from modules.adapters.textual_inversion.embedding import ONLY, Embedding
from modules.adapters.textual_inversion.words import words_of
from modules.nn.clip_tokenizer import load_clip_tokenizer
from modules.settings.snapshot import Snapshot
from modules.web.ui.tokens import TokenCounter


@pytest.mark.parametrize(
    ("text", "plain", "with_words"), [("a my style cat", 4, 9), ("a cat", 2, 2), ("(my style:1.2), x", 4, 9)]
)
def test_embeddings_count_as_many_tokens_as_they_have_vectors(text: str, plain: int, with_words: int) -> None:
    embedding = Embedding(name="my style", vectors={ONLY: torch.zeros(7, 8)})
    words = words_of([embedding], {"clip_l": 8}, load_clip_tokenizer().encode)
    for counter, wanted in ((TokenCounter(), plain), (TokenCounter(words=lambda _tokenizer: words), with_words)):
        assert counter.count(text, [], Snapshot(), steps=4, positive=True).used == wanted
