"""Text encoders as A1111 wraps them: `sd_model.cond_stage_model`, `sd_model.conditioner`, `modules.sd_hijack_clip`.

B texts, T = 77 tokens of a chunk, N chunks, D width.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from modules.compat.host import current_job, facade, host
from modules.compat.lent import lent_model
from modules.domain.plan import TextOptions
from modules.families.chunked import chunks_of, emphasise, encode_texts
from modules.families.openclip import OpenClip
from modules.families.sd1.text import TextEncoder
from modules.families.sdxl.text import TextEncoders
from modules.nn import blocks
from modules.nn.chunks import CAPACITY, Chunk

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
        """Embeddings that this encoder reads: those of the same width."""
        names = ("clip_g", "clip_h") if isinstance(self.wrapped, OpenClip) else ("clip_l",)
        return next((found for name in names if (found := self._components.words.get(name)) is not None), None)

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
        encoder, ids = self.wrapped, tokens.to(self.device)
        if isinstance(encoder, OpenClip):
            return encoder.with_pooled(ids)[0] if self._in_pair else encoder.normalised(ids)
        if isinstance(encoder, TextEncoder) and self._in_pair:
            options = text_options()
            return encoder.hidden(ids, options.clip_skip if options.clip_l_skip else SMALL_LAYER)
        return encoder(ids, text_options().clip_skip) if isinstance(encoder, TextEncoder) else encoder(ids)

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
        layer = next(one for one in self.wrapped.modules() if isinstance(one, nn.Embedding))
        return layer(ids).float()

    def forward(self, texts: Sequence[str]) -> Tensor:
        """Encode prompts, [B, N * T, D]."""
        return encode_texts(
            lambda ids, _placements: self.encode_with_transformers(ids), self._components.tokenizer, list(texts),
            text_options(), device=self.device, pad=self.id_pad,
        )  # fmt: skip


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

    def forward(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Encode prompts: `crossattn` [B, N * T, D] and `vector` [B, P]."""
        return learned_conditioning(texts)


def wrap(encoder: nn.Module) -> nn.Module:
    """Return a text encoder as A1111 wraps it."""
    hijack = facade("sd_hijack").model_hijack
    if isinstance(encoder, TextEncoders):
        return GeneralConditioner(encoder)
    if isinstance(encoder, OpenClip):
        return FrozenOpenCLIPEmbedderWithCustomWords(encoder, hijack)
    return FrozenCLIPEmbedderWithCustomWords(encoder, hijack)


def learned_conditioning(texts: Sequence[str]) -> Any:
    """Encode prompts: [B, N * T, D], or for SDXL `crossattn` [B, N * T, D] and `vector` [B, P]."""
    model, options = lent_model(), text_options()
    made = [model.condition((text,), options) for text in texts]
    tokens = torch.cat([one.tokens for one in made])
    pooled = [one.pooled for one in made if one.pooled is not None]
    return {"crossattn": tokens, "vector": torch.cat(pooled)} if pooled else tokens
