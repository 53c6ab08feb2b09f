"""Train a textual inversion embedding: only the vectors of a new word learn.

Source: Gal et al. 2022, arXiv:2208.01618, section 4.
"""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from modules.adapters.textual_inversion.embedding import ONLY, Embedding
from modules.adapters.textual_inversion.words import words_of
from modules.domain.errors import InvalidRequest
from modules.families.family import Components
from modules.hooks.context import JobContext
from modules.training.networks.examples import Examples
from modules.training.networks.packing import packed
from modules.training.networks.train import Course, Learned, train

SHORT_HASH = 10
MAX_VECTORS = 75
_STAR_TOKEN = 265
"""What A1111 writes as the token that the vectors stand for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingWish:
    """What embedding to train."""

    name: str
    """The word."""
    course: Course
    vectors: int = 4
    lr: float = 5e-3
    start: str = "*"
    """Text whose tokens the vectors begin as, from the front again where it is shorter."""
    base_name: str = ""
    """File name of the checkpoint."""
    base_hash: str = ""
    """Its SHA-256."""

    def __post_init__(self) -> None:
        if not 1 <= self.vectors <= MAX_VECTORS:
            raise InvalidRequest(f"{self.vectors} is not between 1 and {MAX_VECTORS}", field="vectors")


class WordLearner:
    """The vectors of a word.

    Args:
        name: the word.
        vectors: text encoder -> [k, width], to begin with.
        lr: highest learning rate.
    """

    def __init__(self, name: str, vectors: Mapping[str, Tensor], lr: float) -> None:
        self.name, self._lr = name, lr
        self.vectors = {encoder: nn.Parameter(value.clone()) for encoder, value in vectors.items()}

    def groups(self) -> list[dict[str, Any]]:
        """Return the vectors. No decay: the middle of all words means nothing."""
        return [{"params": list(self.vectors.values()), "lr": self._lr, "weight_decay": 0.0}]

    @contextmanager
    def within(self, model: Components) -> Iterator[None]:
        """Let captions use the word, and no other embedding."""
        encoders = model.family.encoders(model)
        words = words_of([Embedding(name=self.name, vectors=self.vectors)], encoders, model.tokenizer.encode)
        before = model.words
        model.words = MappingProxyType({name: words.of_encoder(name, encoders) for name in encoders})
        try:
            yield
        finally:
            model.words = before


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainedEmbedding:
    """The result."""

    name: str
    vectors: Mapping[str, Tensor]
    """Text encoder -> [k, width] float32; under `ONLY` for models with one encoder."""
    facts: Mapping[str, str]
    learned: Learned

    def packed(self) -> bytes:
        """Return the `.safetensors` file."""
        only = ONLY in self.vectors
        return packed({"emb_params" if only else name: value for name, value in self.vectors.items()}, self.facts)

    def pickled(self) -> bytes:
        """Return the `.pt` file as A1111 writes it.

        Raises:
            InvalidRequest: the vectors are for several text encoders, for which it has no place.
        """
        if ONLY not in self.vectors:
            raise InvalidRequest("a .pt file holds vectors for one text encoder; choose .safetensors", field="out")
        file = io.BytesIO()
        content = {
            "string_to_token": {"*": _STAR_TOKEN},
            "string_to_param": {"*": self.vectors[ONLY]},
            "name": self.name,
            "step": self.learned.steps,
            "sd_checkpoint": self.facts["sd_checkpoint"],
            "sd_checkpoint_name": self.facts["sd_checkpoint_name"],
        }
        torch.save(content, file)
        return file.getvalue()


def train_embedding(model: Components, examples: Examples, wish: EmbeddingWish, ctx: JobContext) -> TrainedEmbedding:
    """Train an embedding; when the job is asked to end, what was learned until then is the result.

    Raises:
        InvalidRequest: the model cannot be trained on, or captions never say the word.
        NumericalFault: the loss is no number.
    """
    if not any(wish.name in caption for some in examples.captions for caption in some):
        raise InvalidRequest(f"no caption says {wish.name!r}; put [name] into the template", field="template")
    learner = WordLearner(wish.name, first_vectors(model, wish), wish.lr)
    learned = train(model, learner, examples, wish.course, ctx)
    vectors = {name: value.detach().float().cpu().contiguous() for name, value in learner.vectors.items()}
    facts = {
        "name": wish.name,
        "step": str(learned.steps),
        "sd_checkpoint": wish.base_hash[:SHORT_HASH],
        "sd_checkpoint_name": wish.base_name,
    }
    alone = {ONLY: next(iter(vectors.values()))} if len(vectors) == 1 else vectors
    return TrainedEmbedding(name=wish.name, vectors=alone, facts=facts, learned=learned)


@torch.no_grad()
def first_vectors(model: Components, wish: EmbeddingWish) -> dict[str, Tensor]:
    """Return what the vectors begin as: encoder -> [k, width] float32."""
    ids = list(model.tokenizer.encode(wish.start)) or [model.tokenizer.eos]
    chosen = torch.tensor([ids[i % len(ids)] for i in range(wish.vectors)], device=model.build.device)
    return {
        encoder: _table(model, width).weight.detach()[chosen].float()
        for encoder, width in model.family.encoders(model).items()
    }


def _table(model: Components, width: int) -> nn.Embedding:
    """Return the token table of the text encoder of a width; the one for positions is shorter."""
    tables = [one for one in model.text.modules() if isinstance(one, nn.Embedding) and one.embedding_dim == width]
    return max(tables, key=lambda table: table.num_embeddings)
