"""The CLIP text encoder.

B rows (texts), T = 77 tokens of a chunk, D width.

Source: Radford et al. 2021, arXiv:2103.00020, section 2.4.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from modules.families.chunked import Placement
from modules.families.sd1.keys import TextConfig


class TextEncoder(nn.Module):
    """A CLIP text transformer under the names it has in checkpoints.

    Args:
        config: sizes.
    """

    def __init__(self, config: TextConfig) -> None:
        from modules.nn.torchvision_guard import ensure_torchvision_importable

        ensure_torchvision_importable()
        from transformers import CLIPTextConfig, CLIPTextModel

        super().__init__()
        self.config = config
        self.transformer = nn.Module()
        self.transformer.text_model = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=config.vocabulary,
                hidden_size=config.width,
                intermediate_size=config.mlp_width,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                max_position_embeddings=config.positions,
                hidden_act="quick_gelu",
                bos_token_id=config.vocabulary - 2,
                eos_token_id=config.vocabulary - 1,
                pad_token_id=config.vocabulary - 1,
            )
        )

    @property
    def model(self) -> Any:
        """The transformer itself."""
        return self.transformer.text_model

    def place_buffers(self, device: torch.device) -> None:
        """Fill what files need not hold: the numbers of the positions."""
        self.model.embeddings.position_ids = torch.arange(self.config.positions, device=device)[None]

    def forward(self, tokens: Tensor, clip_skip: int = 1, placements: Sequence[Placement] = ()) -> Tensor:
        """Encode chunks.

        Args:
            tokens: [B, T] ids.
            clip_skip: 1 for the last layer's output, 2 for the one before it ...; the final norm follows always.
            placements: vectors that stand in for the embeddings of some tokens.

        Returns:
            [B, T, D]
        """
        if clip_skip > 1:
            return self.model.final_layer_norm(self.hidden(tokens, clip_skip, placements))
        with placed(self.model.embeddings.token_embedding, placements):
            return self.model(input_ids=tokens).last_hidden_state

    def hidden(self, tokens: Tensor, clip_skip: int, placements: Sequence[Placement] = ()) -> Tensor:
        """Encode chunks as `forward` does, but leave out the final norm."""
        with placed(self.model.embeddings.token_embedding, placements):
            layers = self.model(input_ids=tokens, output_hidden_states=True).hidden_states
        return layers[-min(clip_skip, len(layers))]  # the embeddings, then one per layer


@contextmanager
def placed(embedding: nn.Module, placements: Sequence[Placement]) -> Iterator[None]:
    """Overwrite embedded tokens with vectors, for the calls inside."""
    if not placements:
        yield
        return

    def overwrite(_module: nn.Module, _args: object, embedded: Tensor) -> Tensor:
        embedded = embedded.clone()
        for row, position, vectors in placements:
            embedded[row, position : position + len(vectors)] = vectors.to(embedded)
        return embedded

    handle = embedding.register_forward_hook(overwrite)
    try:
        yield
    finally:
        handle.remove()
