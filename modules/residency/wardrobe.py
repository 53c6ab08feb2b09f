"""What the networks of one model wear: LoRAs merged into weights, hypernetworks, and the words of embeddings."""

import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence

import torch
from torch import Tensor

from modules.adapters.hypernetwork.hypernetwork import Hypernetwork
from modules.adapters.lora.bind import Bound, Strength, bind, uses
from modules.adapters.lora.file import LoraFile
from modules.adapters.lora.lineage import LABELS
from modules.adapters.store import FileKey, NetworkFiles
from modules.adapters.textual_inversion.embedding import Embedding
from modules.adapters.textual_inversion.read import embedding_of
from modules.adapters.textual_inversion.words import WordsCache
from modules.domain.errors import BrokenFile
from modules.domain.plan import LoraUse, Networks
from modules.families.chunked import Embeddings
from modules.families.family import Components
from modules.library.hashes import AUTOV3_DIGITS
from modules.nn.patches.key_map import KeyMap
from modules.nn.patches.merge import Use
from modules.nn.patches.worn import Worn
from modules.residency.memory import Change
from modules.residency.placing import Placement
from modules.residency.relief import climb

Note = Callable[[str], None]

ROOMY_BYTES = 4 << 30
"""While at least this much of the device's memory is free, originals of merged weights stay there."""


class Wardrobe:
    """Dresses the networks of a model and knows what they wear.

    Args:
        components: the model; what has other VAEs shares the wardrobe.
        placement: says where there is room.
        device: where the model computes.
    """

    def __init__(self, components: Components, placement: Placement, device: torch.device) -> None:
        self._components, self._placement, self._device = components, placement, device
        self._worn = {"unet": Worn(components.unet), "text": Worn(components.text)}
        self._bound: dict[FileKey, Bound] = {}
        self._keys: KeyMap | None = None
        self._words = WordsCache()
        self._text_key: Hashable = ()
        self.hypernetworks: tuple[tuple[Hypernetwork, float], ...] = ()
        """Worn now, with their strengths."""

    @property
    def key(self) -> Hashable:
        """Equal while texts are encoded alike."""
        words = self._words.last
        return (self._text_key, words.key if words else ())

    @property
    def words(self) -> Mapping[str, Embeddings]:
        """The embeddings that prompts may use, by text encoder; empty when there are none."""
        words = self._words.last
        if words is None or not words.embeddings:
            return {}
        encoders = self._components.family.encoders(self._components)
        return {name: words.of_encoder(name, encoders) for name in encoders}

    def digest_of(self, word: str) -> str:
        """Return the hash by which others find an embedding."""
        words = self._words.last
        return words.embeddings[word].digest if words else ""

    def is_bundled(self, word: str) -> bool:
        """Tell whether an embedding came with a LoRA."""
        words = self._words.last
        return words is not None and words.embeddings[word].bundled

    def wear(self, networks: Networks, files: NetworkFiles, note: Note) -> None:
        """Make these the networks that the model wears, and no others. Only weights that differ are touched.

        Args:
            networks: wanted. What cannot be used is left out and told.
            files: read them.
            note: told what is left out, and why.
        """
        layers: dict[str, dict[str, list[Use]]] = {"unet": {}, "text": {}}
        bound, bundled, text_key = dict[FileKey, Bound](), list[Embedding](), list[Hashable]()
        for lora in networks.loras:
            try:
                key, file = files.lora(lora.path)
            except BrokenFile as error:
                note(f"Lora {lora.name} could not be used: {error}")
                continue
            bound[key] = self._bound.get(key) or bound.get(key) or self._bind(file, lora, note)
            bundled += bundled_with(file, lora, note)
            strength = Strength(text=lora.text, unet=lora.unet, rank=lora.rank, layers=dict(lora.layers))
            for part, name, use in uses(bound[key], strength, key):
                layers[part].setdefault(name, []).append(use)
            text_key.append((key, lora.text, lora.rank, lora.layers))
        self._merge(layers, note)
        self._bound, self._text_key = bound, tuple(text_key) if layers["text"] else ()
        self.hypernetworks = tuple(_hypernetworks(networks, files, note))
        family, tokenizer = self._components.family, self._components.tokenizer
        embeddings = (*files.listing().embeddings, *bundled)
        self._words.get(embeddings, family.encoders(self._components), tokenizer.encode)

    def take_off(self) -> None:
        """Give the networks their own weights back."""
        for worn in self._worn.values():
            worn.wear({})
        self._text_key, self.hypernetworks = (), ()

    def put_away(self, change: Change) -> None:
        """Bring the originals of merged weights elsewhere."""
        for worn in self._worn.values():
            worn.move_originals(change)

    def _merge(self, layers: Mapping[str, Mapping[str, Sequence[Use]]], note: Note) -> None:
        away = self._placement.memory.to_ram()
        roomy = self._device.type == "cpu" or self._placement.memory.free_device() > ROOMY_BYTES

        def attempt(keep: Change | None) -> None:
            with torch.inference_mode(False), torch.no_grad():
                for part, worn in self._worn.items():
                    worn.wear(layers[part], device=self._device, keep=keep)

        def in_less() -> None:
            self.put_away(away)
            attempt(away)

        rungs = [("beside the originals", lambda: attempt(None))] if roomy else []
        climb("merging LoRAs", [*rungs, ("originals in main memory", in_less)], note, self._placement.make_room)

    def _bind(self, file: LoraFile, lora: LoraUse, note: Note) -> Bound:
        """Find the places of a file's layers in this model, and tell what has none."""
        if self._keys is None:
            self._keys = self._components.family.key_map(self._components)
        family, made_for = self._keys.family, file.contents.lineage
        if made_for is not None and family in LABELS and made_for != family:
            note(f"Lora {lora.name} is made for {LABELS[made_for]} and changes nothing in a {LABELS[family]} model")
            return Bound(placed=(), missing=tuple(file.layers), misfits=())
        found = bind(file, self._keys, self._shape_of)
        num_out = len(found.missing) + len(found.misfits) + len(file.faults)
        num_layers = len(file.layers) + len(file.faults)
        if num_out == num_layers:
            note(f"Lora {lora.name} changes nothing: {_why_nothing(file)}")
        elif num_out:
            note(f"Lora {lora.name}: {num_out} of {num_layers} layers do not fit this model and are left out")
        return found

    def _shape_of(self, part: str, name: str) -> tuple[int, ...] | None:
        network = getattr(self._components, part)
        try:
            return tuple(network.get_parameter(name).shape)
        except AttributeError:
            return None


def bundled_with(file: LoraFile, lora: LoraUse, note: Note) -> list[Embedding]:
    """Return the embeddings inside of a LoRA file."""
    found = list[Embedding]()
    for word, tensors in file.bundled.items():
        named = {name if name != "*" else "string_to_param.*": value for name, value in tensors.items()}
        digest = _digest(named)
        try:
            found.append(embedding_of(named, word, {}, digest=digest, bundled=True))
        except ValueError as error:
            note(f"Lora {lora.name}: its embedding {word[:100]!r} could not be used: {error}")
    return found


def _hypernetworks(networks: Networks, files: NetworkFiles, note: Note) -> list[tuple[Hypernetwork, float]]:
    found = list[tuple[Hypernetwork, float]]()
    for one in networks.hypernetworks:
        try:
            found.append((files.hypernetwork(one.path), one.strength))
        except BrokenFile as error:
            note(f"Hypernetwork {one.name} could not be used: {error}")
    return found


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """Return a hash of values, for embeddings that are no file of their own."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(tensors[name].float().cpu().numpy().tobytes())
    return digest.hexdigest()[:AUTOV3_DIGITS]


def _why_nothing(file: LoraFile) -> str:
    if not file.layers and not file.faults:
        return "it holds no layers that are known" if not file.bundled else "it holds embeddings only"
    return "none of its layers fits this model"
