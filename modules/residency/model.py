"""A loaded model as the pipeline sees it: text in, latents in, pictures out, wherever the weights lie."""

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

from modules.adapters.hypernetwork.hypernetwork import attached
from modules.domain.errors import NumericalFault
from modules.domain.plan import TextOptions
from modules.families.chunked import embeddings_in
from modules.families.family import Components
from modules.nn.token_merging import blocks_of, merged_tokens
from modules.residency.approximations import Coder
from modules.residency.device import DevicePolicy, Offload
from modules.residency.placing import Placement, changed, in_format, relocate, replace_weights
from modules.residency.relief import Rung, climb, free_caches, free_device_cache, sparing
from modules.residency.sizes import is_on, parts_of
from modules.residency.streaming import streamed
from modules.residency.tiles import decode_in_tiles
from modules.residency.wardrobe import Wardrobe
from modules.sampling.types import Conditioning, Network

logger = logging.getLogger(__name__)
T = TypeVar("T")

COND_CACHE_ENTRIES = 64
"""Encoded timelines kept per model; one of 77 tokens at width 768 takes a quarter of a megabyte."""


@dataclass(slots=True, kw_only=True, eq=False)
class Model:
    """Components on a device, with what is needed to move them there and back."""

    components: Components
    policy: DevicePolicy
    placement: Placement
    """Shared with every model that is made of some of the same weights."""
    wardrobe: Wardrobe | None = None
    """What the networks wear; shared in the same way. None makes one."""
    decoder: Coder | None = None
    """Stands in for the VAE: latents, sampler's scale, to pictures in about -1..1."""
    encoder: Coder | None = None
    """Stands in for the VAE: pictures in -1..1 to latents, sampler's scale."""
    _encoded: "OrderedDict[tuple[Hashable, ...], Conditioning]" = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        if self.wardrobe is None:
            self.wardrobe = Wardrobe(self.components, self.placement, self.policy.device)

    @property
    def worn(self) -> Wardrobe:
        """What the networks wear now."""
        assert self.wardrobe is not None
        return self.wardrobe

    @property
    def device(self) -> torch.device:
        """Where latents live."""
        return self.policy.device

    def condition(self, texts: Sequence[str], options: TextOptions, *, cached: bool = True) -> Conditioning:
        """Encode the texts of one timeline; equal texts under equal options come from a cache."""
        key = (tuple(texts), options, self.worn.key)
        self.components.words = self.worn.words
        if cached and key in self._encoded:
            self._encoded.move_to_end(key)
            return self._encoded[key]
        rungs = [("at once", lambda: self.components.family.condition(self.components, texts, options))]
        encoded = self._climb_with(self.components.text, "encoding the prompt", rungs, logger.info)
        if cached:
            self._encoded[key] = encoded
            while len(self._encoded) > COND_CACHE_ENTRIES:
                self._encoded.popitem(last=False)
        return encoded

    def words_in(self, texts: Sequence[str], options: TextOptions) -> tuple[str, ...]:
        """Return the names of the embeddings that texts use, each once."""
        components, words = self.components, next(iter(self.worn.words.values()), None)
        if words is None:
            return ()
        found = (embeddings_in(components.tokenizer, text, options, words) for text in texts)
        return tuple(dict.fromkeys(name for names in found for name in names))

    def empty_chunk(self, options: TextOptions) -> Tensor:
        """Return the encoded empty prompt, [1, 77, D]."""
        return self.condition(("",), options).tokens

    @contextmanager
    def network(self, *, tiling: bool, note: Callable[[str], None], merge_ratio: float = 0.0) -> Iterator[Network]:
        """Lend the denoising network, present on the device, for one pass.

        Args:
            tiling: make the picture repeat seamlessly.
            note: told once when memory forced the pictures of a batch apart.
            merge_ratio: share of the tokens that is merged where layers attend to themselves.
        """
        unet = self.components.unet
        if merge_ratio and not blocks_of(unet):
            note("Token merging has no effect on this kind of model")
        merging = merged_tokens(unet, merge_ratio) if merge_ratio else nullcontext()
        with ExitStack() as place, merging, attached(unet, self.worn.hypernetworks):

            def bring() -> None:
                place.enter_context(self._running(unet))

            def shrink() -> None:
                place.close()
                self._leave_device(Offload.BLOCKS, parts_of(self.components))
                bring()

            shrinks, make_room = (
                self._can_leave and self.placement.offload is not Offload.BLOCKS,
                self.placement.make_room,
            )
            rungs = [("as a whole", bring), ("block by block", shrink)] if shrinks else [("at once", bring)]
            climb("bringing the network to the device", rungs, note, make_room)
            run = self.components.family.network(self.components, tiling)
            shrinks = shrinks and self.placement.offload is not Offload.BLOCKS
            yield sparing(run, note, make_room=make_room, shrink=shrink if shrinks else None)

    def decode(
        self,
        x: Tensor,
        *,
        tiling: bool,
        fallback: torch.dtype | None,
        note: Callable[[str], None],
        check_nan: bool = True,
    ) -> Tensor:
        """Decode one latent [1, C, h, w] to a picture [3, H, W], about -1..1, float32 on the CPU.

        Args:
            x: latent on the sampler's scale.
            tiling: make the picture repeat seamlessly.
            fallback: number format to retry in when the result is not finite; None refuses at once.
            note: told when memory or precision forced another way.
            check_nan: refuse a result that is not finite; otherwise what is no number becomes black.

        Raises:
            NumericalFault: the result is not finite, also after the retry.
        """
        picture = self._decode(x, tiling, note)
        if not check_nan:
            return picture.nan_to_num(nan=-1.0)
        if not self.decoder and fallback is not None and self._may_help(fallback, picture):
            note(f"The VAE produced NaN; decoding again in {_name(fallback)}")
            picture = self._in_format(fallback, lambda: self._decode(x, tiling, note))
        if not _finite(picture):
            raise NumericalFault(
                "The VAE produced NaN or infinite values. Start with --no-half-vae, or choose another VAE in the settings."
            )
        return picture

    def encode(
        self,
        picture: Tensor,
        *,
        tiling: bool,
        fallback: torch.dtype | None,
        note: Callable[[str], None],
        exact: bool = False,
    ) -> Tensor:
        """Encode one picture [1, 3, H, W] in -1..1 to a latent [1, C, h, w] on the sampler's scale, float32.

        Args:
            picture: sides that are multiples of the latent's downscale.
            tiling: treat the picture as repeating seamlessly.
            fallback: number format to retry in when the result is not finite; None refuses at once.
            note: told when memory or precision forced another way.
            exact: use the VAE whatever stands in for it.

        Raises:
            NumericalFault: the result is not finite, also after the retry.
        """
        encoder = None if exact else self.encoder
        latent = self._encode(picture, encoder, tiling, note)
        if not encoder and fallback is not None and self._may_help(fallback, latent):
            note(f"The VAE produced NaN; encoding again in {_name(fallback)}")
            latent = self._in_format(fallback, lambda: self._encode(picture, None, tiling, note))
        if not _finite(latent):
            raise NumericalFault("The VAE encoded a picture to NaN or infinite values. Start with --no-half-vae.")
        return latent

    def look(self, picture: Tensor, size: tuple[int, int]) -> dict[str, Tensor]:
        """Return what the network is told of a picture [1, 3, H, W] in -1..1 beside a latent of `size` (h, w).

        Nothing for models that do not look. Each [1, ...], float32 on the device.

        Raises:
            NumericalFault: the result is not finite.
        """
        eye = self.components.eye
        if eye is None:
            return {}
        with self._present(eye):
            seen = {name: value.float().to(self.device) for name, value in eye.look(picture, size).items()}
        if not all(bool(torch.isfinite(value).all()) for value in seen.values()):
            raise NumericalFault("The model saw NaN or infinite values in the picture. Start with --no-half.")
        return seen

    def _decode(self, x: Tensor, tiling: bool, note: Callable[[str], None]) -> Tensor:
        run = self.decoder or partial(self.components.family.decode, self.components)
        rungs = [
            ("in one piece", lambda: run(x, tiling)),
            ("in one piece after freeing caches", lambda: run(x, tiling)),
            ("in tiles", lambda: decode_in_tiles(lambda part: run(part, False), x, wrap=tiling)),
        ]
        part = None if self.decoder else self.components.vae
        return self._climb_with(part, "decoding", rungs, note)[0].float().cpu()

    def _encode(self, picture: Tensor, encoder: Coder | None, tiling: bool, note: Callable[[str], None]) -> Tensor:
        run = encoder or partial(self.components.family.encode, self.components)
        rungs = [
            ("in one piece", lambda: run(picture, tiling)),
            ("after freeing caches", lambda: run(picture, tiling)),
        ]
        part = None if encoder else self.components.vae
        return self._climb_with(part, "encoding", rungs, note).float().to(self.device)

    def _climb_with(
        self, part: nn.Module | None, task: str, rungs: Sequence[Rung[T]], note: Callable[[str], None]
    ) -> T:
        """Climb with one part on the device, None where something small stands in for it; last, with nothing else."""

        def present(attempt: Callable[[], T]) -> Callable[[], T]:
            def run() -> T:
                with nullcontext() if part is None else self._present(part):
                    return attempt()

            return run

        def alone() -> T:
            self._leave_device(Offload.COMPONENTS, [one for one in parts_of(self.components) if one is not part])
            return present(rungs[-1][1])()

        tries = [(name, present(attempt)) for name, attempt in rungs]
        if self._can_leave and self.placement.offload is Offload.NONE:
            tries.append((f"{rungs[-1][0]} and with the other networks in main memory", alone))
        return climb(task, tries, note, self.placement.make_room)

    def _may_help(self, dtype: torch.dtype, result: Tensor) -> bool:
        """Tell whether the VAE should be tried in another number format."""
        return next(self.components.vae.parameters()).dtype is not dtype and not _finite(result)

    def _in_format(self, dtype: torch.dtype, attempt: Callable[[], Tensor]) -> Tensor:
        """Try with the VAE in another number format; where that helps, it stays so for the pictures to come."""
        with torch.inference_mode(False):
            restore, helped = replace_weights(self.components.vae.modules(), in_format(dtype)), False
        try:
            result = attempt()
            helped = _finite(result)
        finally:
            if not helped:
                restore()
        return result

    @property
    def _can_leave(self) -> bool:
        return self.device.type != "cpu"

    def _leave_device(self, offload: Offload, parts: Sequence[nn.Module]) -> None:
        """Run with most weights in main memory from now on, until the model is lent anew."""
        to_ram = self.placement.memory.to_ram()
        self.worn.put_away(to_ram)
        for part in parts:
            if is_on(part, self.device):
                relocate(part, to_ram)
        self.placement.offload, self.placement.resident_bytes = offload, 0
        free_caches()

    @contextmanager
    def _running(self, unet: nn.Module) -> Iterator[None]:
        """Keep the network on the device while it runs: whole, or block by block."""
        if self.placement.offload is not Offload.BLOCKS:
            with self._present(unet):
                yield
            return
        with streamed(unet, self.device, resident_bytes=self.placement.resident_bytes):
            yield
        free_device_cache()

    @contextmanager
    def _present(self, part: nn.Module) -> Iterator[None]:
        """Keep a component on the device while it is used; with offloading it leaves afterwards."""
        if self.placement.offload is Offload.NONE:
            yield
            return
        try:
            with changed(part, self.placement.memory.to_device()):
                yield
        finally:
            free_device_cache()


def _finite(result: Tensor) -> bool:
    return bool(torch.isfinite(result).all())


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
