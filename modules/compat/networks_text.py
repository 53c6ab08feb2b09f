"""Text encoders as A1111 wraps them: `sd_model.cond_stage_model`, `sd_model.conditioner`, `modules.sd_hijack_clip`.

B texts, T = 77 tokens of a chunk, N chunks, D width.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from modules.compat.host import current_job, facade, host
from modules.compat.lent import lent_model
from modules.compat.replaced import is_own
from modules.domain.plan import TextOptions
from modules.families.chunked import Placement, chunks_of, emphasise
from modules.families.openclip import OpenClip
from modules.families.sd1.text import TextEncoder, placed
from modules.families.sdxl.text import TextEncoders
from modules.hooks.points import WrapConditioning
from modules.nn import blocks
from modules.nn.chunks import CAPACITY, Chunk, even_out
from modules.sampling.types import Conditioning

SMALL_LAYER = 2
"""Layer of CLIP, counted from the end, that SDXL reads."""


class PromptChunk:
    """The tokens of a chunk, their weights, and where embeddings stand."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.multipliers: list[float] = []
        self.fixes: list[Any] = []


def _shown(chunk: Chunk) -> PromptChunk:
    made = PromptChunk()
    made.tokens, made.multipliers, made.fixes = list(chunk.ids), list(chunk.weights), list(chunk.fixes)
    return made


def text_options() -> TextOptions:
    """Return how texts are read: as the running job decided, else as the settings say."""
    job = current_job()
    if job is not None and job.plan is not None:
        return job.plan.text
    from modules.pipeline import options

    return options.text_options(host().settings.snapshot())


class FrozenCLIPEmbedderWithCustomWordsBase(nn.Module):
    """A text encoder that reads prompts of any length.

    Args:
        wrapped: the encoder.
        hijack: `model_hijack`.
    """

    chunk_length = CAPACITY
    is_trainable = False
    legacy_ucg_val = None

    def __init__(self, wrapped: nn.Module, hijack: Any = None) -> None:
        super().__init__()
        self.wrapped = wrapped
        self.hijack = hijack
        self._placements: list[Placement] = []
        tokenizer = self._components.tokenizer
        self.id_start, self.id_end = int(tokenizer.bos), int(tokenizer.eos)
        self.id_pad = 0 if isinstance(wrapped, OpenClip) else self.id_end
        self.comma_token = int(tokenizer.comma_id)
        self.token_mults = {int(key): float(value) for key, value in tokenizer.bracket_factors.items()}

    @property
    def _components(self) -> Any:
        return lent_model().components

    @property
    def _embeddings(self) -> Any:
        """Embeddings that this encoder reads: those of the same width, and those of extensions."""
        large = isinstance(self.wrapped, OpenClip)
        names = ("clip_g", "clip_h") if large else ("clip_l", "toy")
        known = next((found for name in names if (found := self._components.words.get(name)) is not None), None)
        return self.hijack.embedding_db.words_beside(known, names[0], self.device)

    @property
    def device(self) -> torch.device:
        """Where the encoder is."""
        return next(self.wrapped.parameters()).device

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of texts, as they are."""
        return [list(self._components.tokenizer.encode(text)) for text in texts]

    def tokenize_line(self, line: str) -> tuple[list[PromptChunk], int]:
        """Return the chunks of a prompt, its emphasis read, and how many tokens it has."""
        chunks = chunks_of(self._components.tokenizer, line, text_options(), self._embeddings, pad=self.id_pad)
        return [_shown(one) for one in chunks], sum(one.counted for one in chunks)

    def process_texts(self, texts: Sequence[str]) -> tuple[list[list[PromptChunk]], int]:
        """Return the chunks of prompts, and the tokens of the longest one."""
        found = {text: self.tokenize_line(text) for text in texts}
        return [found[text][0] for text in texts], max((count for _, count in found.values()), default=0)

    def get_target_prompt_token_count(self, token_count: int) -> int:
        """Return how many tokens there is room for."""
        return math.ceil(max(token_count, 1) / self.chunk_length) * self.chunk_length

    def empty_chunk(self) -> PromptChunk:
        """Return a chunk without a text."""
        return self.tokenize_line("")[0][0]

    def encode_with_transformers(self, tokens: Tensor) -> Tensor:
        """Encode chunks, ids [B, T] -> [B, T, D]."""
        encoder, ids, placements = self.wrapped, tokens.to(self.device), self._placements
        if isinstance(encoder, OpenClip):
            return encoder.with_pooled(ids, placements)[0] if self._in_pair else encoder.normalised(ids, placements)
        if isinstance(encoder, TextEncoder) and self._in_pair:
            options = text_options()
            return encoder.hidden(ids, options.clip_skip if options.clip_l_skip else SMALL_LAYER, placements)
        if isinstance(encoder, TextEncoder):
            return encoder(ids, text_options().clip_skip, placements)
        with placed(self._token_layer, placements):
            return encoder(ids, text_options().clip_skip)

    @property
    def _in_pair(self) -> bool:
        return isinstance(self._components.text, TextEncoders)

    def process_tokens(self, remade_batch_tokens: Any, batch_multipliers: Any) -> Tensor:
        """Encode chunks of as many texts and weigh their tokens: [B, T] ids, [B, T] weights -> [B, T, D]."""
        ids = torch.as_tensor(remade_batch_tokens, device=self.device)
        weights = torch.as_tensor(batch_multipliers, device=self.device)
        return emphasise(self.encode_with_transformers(ids).float(), weights, text_options().emphasis)

    def encode_embedding_init_text(self, init_text: str, nvpt: int) -> Tensor:
        """Return the vectors of the tokens of a text before the encoder reads them, [at most nvpt, D]."""
        ids = torch.tensor(self.tokenize([init_text])[0][:nvpt], device=self.device, dtype=torch.long)
        return self._token_layer(ids).float()

    @property
    def _token_layer(self) -> nn.Embedding:
        return next(one for one in self.wrapped.modules() if isinstance(one, nn.Embedding))

    def forward(self, texts: Sequence[str]) -> Tensor:
        """Encode prompts, [B, N * T, D], by the methods above, which extensions replace."""
        tokenizer, options, words = self._components.tokenizer, text_options(), self._embeddings
        (empty,) = chunks_of(tokenizer, "", options, pad=self.id_pad)
        rows = even_out([chunks_of(tokenizer, text, options, words, pad=self.id_pad) for text in texts], empty)
        encoded: list[Tensor] = []
        for column in zip(*rows, strict=True):
            self.hijack.fixes = [list(one.fixes) for one in column]
            self._placements = [
                (row, position, words.vectors(key)[: len(one.ids) - position])
                for row, one in enumerate(column) for position, key in one.fixes
            ]  # fmt: skip
            try:
                encoded.append(self.process_tokens([list(one.ids) for one in column], [list(one.weights) for one in column]))  # fmt: skip
            finally:
                self._placements = []
        return torch.cat(encoded, dim=1)


class FrozenCLIPEmbedderWithCustomWords(FrozenCLIPEmbedderWithCustomWordsBase):
    """CLIP."""


class FrozenOpenCLIPEmbedderWithCustomWords(FrozenCLIPEmbedderWithCustomWordsBase):
    """OpenCLIP."""

    @property
    def model(self) -> nn.Module:
        """The transformer; extensions tell SD 2 by it."""
        return self.wrapped.get_submodule("model")


class ConcatTimestepEmbedderND(nn.Module):
    """Numbers of a picture as sinusoids: [B, n] -> [B, n * outdim].

    Args:
        outdim: width for each number.
    """

    input_key, ucg_rate, is_trainable = "original_size_as_tuple", 0.0, False

    def __init__(self, outdim: int) -> None:
        super().__init__()
        self.outdim = outdim

    def forward(self, x: Tensor) -> Tensor:
        """[B, n] -> [B, n * outdim]."""
        rows = x if x.ndim > 1 else x[:, None]
        return blocks.timestep_embedding(rows.flatten(), self.outdim).reshape(rows.shape[0], -1)


class GeneralConditioner(nn.Module):
    """The text encoders of SDXL side by side, and what it is told of sizes.

    Args:
        encoders: CLIP and OpenCLIP, or OpenCLIP alone.
        width: of each number.
    """

    def __init__(self, encoders: TextEncoders, width: int = 256) -> None:
        super().__init__()
        told = [ConcatTimestepEmbedderND(width) for _ in range(3)]
        self.embedders = nn.ModuleList([*(wrap(one) for one in encoders.embedders), *told])

    @property
    def _first(self) -> Any:
        return self.embedders[0]

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of texts, as they are."""
        return self._first.tokenize(texts)

    def tokenize_line(self, line: str) -> tuple[list[PromptChunk], int]:
        """Return the chunks of a prompt, and how many tokens it has."""
        return self._first.tokenize_line(line)

    def process_texts(self, texts: Sequence[str]) -> tuple[list[list[PromptChunk]], int]:
        """Return the chunks of prompts, and the tokens of the longest one."""
        return self._first.process_texts(texts)

    def get_target_prompt_token_count(self, token_count: int) -> int:
        """Return how many tokens there is room for."""
        return self._first.get_target_prompt_token_count(token_count)

    def forward(self, texts: Sequence[str] | Mapping[str, Any]) -> dict[str, Tensor]:
        """Encode prompts, which may be the entry `txt`: `crossattn` [B, N * T, D] and `vector` [B, P]."""
        lines = list(texts["txt"] if isinstance(texts, Mapping) else texts)
        made = learned_conditioning(lines)
        readers = [one for one in self.embedders if isinstance(one, FrozenCLIPEmbedderWithCustomWordsBase)]
        if any(is_changed(one) for one in readers):
            made["crossattn"] = torch.cat([one(lines) for one in readers], dim=2)
        return made


def wrap(encoder: nn.Module) -> nn.Module:
    """Return a text encoder as A1111 wraps it; the same each time, since extensions hang things on it."""
    known = vars(encoder).get(_WRAPPED)
    if known is None:
        # Among its plain attributes, so that it is no part of the encoder and is gone with it.
        known = vars(encoder)[_WRAPPED] = _wrapped(encoder)
    return known


def _wrapped(encoder: nn.Module) -> nn.Module:
    hijack = facade("sd_hijack").model_hijack
    if isinstance(encoder, TextEncoders):
        return GeneralConditioner(encoder)
    if isinstance(encoder, OpenClip):
        return FrozenOpenCLIPEmbedderWithCustomWords(encoder, hijack)
    return FrozenCLIPEmbedderWithCustomWords(encoder, hijack)


_WRAPPED = "_a1111_view"
_METHODS = (
    "forward", "process_tokens", "encode_with_transformers", "tokenize_line", "process_texts", "tokenize",
)  # fmt: skip
_OWN: dict[tuple[type, str], Any] = {
    (cls, name): getattr(cls, name, None)
    for cls in (FrozenCLIPEmbedderWithCustomWords, FrozenOpenCLIPEmbedderWithCustomWords, GeneralConditioner)
    for name in _METHODS
}


def is_changed(view: Any) -> bool:
    """Tell whether extensions hooked into a text encoder, replaced its methods, or brought embeddings."""
    hooked = bool(view._forward_hooks or view._forward_pre_hooks)
    kind = type(view)
    replaced = any(hasattr(view, name) and not is_own(view, name, _OWN.get((kind, name))) for name in _METHODS)
    if hooked or replaced or isinstance(view, GeneralConditioner):
        return hooked or replaced or any(is_changed(one) for one in view.children() if (type(one), "forward") in _OWN)
    return bool(view.hijack.embedding_db.ids_lookup)


def wrap_conditioning(payload: WrapConditioning) -> WrapConditioning:
    """Let the text encoders as extensions changed them encode the texts of a job."""

    def encode(texts: Sequence[str], options: TextOptions) -> Conditioning:
        view, plain = wrap(lent_model().components.text), payload.encode(texts, options)
        if not is_changed(view) or (options.negative and not any(texts)):
            return plain
        with torch.inference_mode():
            if not isinstance(view, GeneralConditioner):
                return replace(plain, tokens=view(list(texts)).to(plain.tokens))
            sides = torch.tensor([[options.size.height, options.size.width] if options.size else [0, 0]] * len(texts))
            told = {"original_size_as_tuple": sides, "crop_coords_top_left": torch.zeros_like(sides), "target_size_as_tuple": sides}  # fmt: skip
            return replace(plain, tokens=view({"txt": list(texts), **told})["crossattn"].to(plain.tokens))

    return replace(payload, encode=encode)


def learned_conditioning(texts: Sequence[str]) -> Any:
    """Encode prompts: [B, N * T, D], or for SDXL `crossattn` [B, N * T, D] and `vector` [B, P]."""
    model, options = lent_model(), text_options()
    made = [model.condition((text,), options) for text in texts]
    tokens = torch.cat([one.tokens for one in made])
    pooled = [one.pooled for one in made if one.pooled is not None]
    return {"crossattn": tokens, "vector": torch.cat(pooled)} if pooled else tokens
