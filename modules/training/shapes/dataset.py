"""The training set: scenes as numbers and captions as tokens, made by all cores before training starts.

N scenes, K captions of each. The same seed gives the same set on any number of cores.
"""

import os
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from functools import cache
from multiprocessing import get_context

import numpy as np
import torch
from torch import Tensor

from modules.training.shapes.captions import Caption, write_caption
from modules.training.shapes.config import BOS, EOS, POSITIONS
from modules.training.shapes.scenes import CHANGES, Scene, changed, sample_scene
from modules.training.shapes.vocabulary import SLOTS, choices

CHUNK = 2048
"""Scenes made from one random state."""
STRANGE = 0.15
"""Share of captions with tokens in them that mean nothing."""

Encode = Callable[[str], Sequence[int]]
"""Text -> token ids without start and end."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """Scenes and captions as tensors."""

    numbers: Tensor
    """[N, SCENE_NUMBERS] what is drawn."""
    before: Tensor
    """[N, SCENE_NUMBERS] the scene with one word changed."""
    change: Tensor
    """[N] int64, the changed slot as its place in `CHANGES` plus one; 0 for none."""
    ids: Tensor
    """[N, K, 77] int32."""
    weights: Tensor
    """[N, K, 77] float16, the weight of each token."""
    labels: Tensor
    """[N, K, slots] int64: the value of a slot as its place in `choices`; their number when it is not said."""

    def __len__(self) -> int:
        """Return the number of scenes."""
        return self.numbers.shape[0]

    def to(self, device: torch.device) -> "Dataset":
        """Return the set on another device."""
        return Dataset(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


@cache
def clip_encode() -> Encode:
    """Return the product's tokenizer as a function that remembers every word."""
    from modules.nn.clip_tokenizer import load_clip_tokenizer

    tokenizer = load_clip_tokenizer()

    @cache
    def word(text: str) -> tuple[int, ...]:
        return tuple(tokenizer.encode(text))

    # Pieces of the encoding never cross a blank, so words can be encoded one by one.
    return lambda text: [token for part in text.split() for token in word(part)]


def tokens(caption: Caption, encode: Encode, strange: Sequence[int] = ()) -> tuple[list[int], list[float]]:
    """Encode a caption as the product does: 77 ids and as many weights.

    Args:
        caption: pieces with their weights.
        encode: the tokenizer.
        strange: meaningless ids to put before the last piece.
    """
    ids, weights = list[int](), list[float]()
    for index, (text, weight) in enumerate(caption.pieces):
        extra = list(strange) if index == len(caption.pieces) - 1 else []
        piece = [*extra, *encode(text)]
        ids += piece
        weights += [1.0] * len(extra) + [weight] * (len(piece) - len(extra))
    ids, weights = ids[: POSITIONS - 2], weights[: POSITIONS - 2]
    fill = POSITIONS - 1 - len(ids)
    return [BOS, *ids] + [EOS] * fill, [1.0, *weights] + [1.0] * fill


def empty_ids() -> Tensor:
    """Return the ids of the empty prompt, [1, 77] int64."""
    return torch.tensor([[BOS] + [EOS] * (POSITIONS - 1)])


def labels_of(scene: Scene, said: frozenset[str]) -> list[int]:
    """Return the class of every slot, the last one for what the caption does not say."""
    result = list[int]()
    for slot in SLOTS:
        names, value = choices(slot), scene.value(slot)
        result.append(names.index(value) if value is not None and slot in said else len(names))
    return result


def make_dataset(seed: int, count: int, num_captions: int, workers: int | None = None) -> Dataset:
    """Make scenes and captions; `workers` processes (default: all cores but one), none for few scenes."""
    jobs = [(seed, start, min(CHUNK, count - start), num_captions) for start in range(0, count, CHUNK)]
    workers = max((os.cpu_count() or 2) - 1, 1) if workers is None else workers
    if workers < 2 or len(jobs) < 4:
        return _gather(map(_chunk, jobs))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return _gather(pool.map(_chunk, jobs))


def _gather(chunks: Iterable[Mapping[str, np.ndarray]]) -> Dataset:
    parts = list(chunks)
    return Dataset(**{name: torch.from_numpy(np.concatenate([part[name] for part in parts])) for name in parts[0]})


def _chunk(job: tuple[int, int, int, int]) -> Mapping[str, np.ndarray]:
    seed, start, count, num_captions = job
    rng = random.Random(f"{seed}/{start}")
    encode = clip_encode()
    scenes = [sample_scene(rng) for _ in range(count)]
    others = [changed(scene, rng) for scene in scenes]
    captions = [[write_caption(scene, rng) for _ in range(num_captions)] for scene in scenes]
    rows = [[tokens(caption, encode, _strange(rng)) for caption in some] for some in captions]
    labels = [[labels_of(scene, c.said) for c in some] for scene, some in zip(scenes, captions, strict=True)]
    return {
        "numbers": np.array([scene.numbers() for scene in scenes], np.float32),
        "before": np.array([scene.numbers() for _, scene in others], np.float32),
        "change": np.array([code for code, _ in others], np.int64),
        "ids": np.array([[ids for ids, _ in some] for some in rows], np.int32),
        "weights": np.array([[weights for _, weights in some] for some in rows], np.float16),
        "labels": np.array(labels, np.int64),
    }


def _strange(rng: random.Random) -> list[int]:
    return [rng.randrange(BOS) for _ in range(rng.randint(1, 3))] if rng.random() < STRANGE else []


def says_change(data: Dataset, rows: Tensor, captions: Tensor) -> Tensor:
    """Say for which scene and caption ([B] each) the caption names the slot that `before` differs in: [B] bool."""
    slots = torch.tensor([0, *(SLOTS.index(slot) for slot in CHANGES)], device=rows.device)
    unsaid = torch.tensor([len(choices(slot)) for slot in SLOTS], device=rows.device)
    change = data.change[rows]
    slot = slots[change]
    return (change > 0) & (data.labels[rows, captions, slot] != unsaid[slot])
