"""`modules.sd_hijack` and textual inversion: what extensions ask of the text encoders."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modules.compat.host import current_job, host


class Embedding:
    """An embedding as A1111 knows it."""

    def __init__(self, vec: Any, name: str, step: int | None = None) -> None:
        self.vec, self.name, self.step = vec, name, step
        self.shape: int | None = None
        self.vectors = 0
        self.cached_checksum: str | None = None
        self.sd_checkpoint: str | None = None
        self.sd_checkpoint_name: str | None = None
        self.filename: str | None = None
        self.hash: str | None = None
        self.shorthash: str | None = None


def create_embedding_from_data(data: Any, name: str, filename: str = "unknown embedding file", filepath: str | None = None) -> Embedding:  # fmt: skip
    """Read an embedding from the content of its file.

    Raises:
        ValueError: it is none that is known.
    """
    if "string_to_param" in data:
        vec = next(iter(dict(data["string_to_param"]).values()))
        made = Embedding(vec, name, data.get("step"))
    elif "clip_g" in data and "clip_l" in data:
        vec = {"clip_g": data["clip_g"], "clip_l": data["clip_l"]}
        made = Embedding(vec, name)
    else:
        tensors = [one for one in data.values() if hasattr(one, "shape")]
        if len(tensors) != 1:
            raise ValueError(f"{filename} is no embedding that is known")
        vec = tensors[0] if tensors[0].dim() > 1 else tensors[0].unsqueeze(0)
        made = Embedding(vec, name)
    parts = list(vec.values()) if isinstance(vec, dict) else [vec]
    made.shape, made.vectors = sum(one.shape[-1] for one in parts), parts[0].shape[0]
    made.sd_checkpoint, made.sd_checkpoint_name = data.get("sd_checkpoint"), data.get("sd_checkpoint_name")
    made.filename = filepath
    return made


class EmbeddingDatabase:
    """The embeddings on disk, and those that extensions put beside them."""

    def __init__(self) -> None:
        self.ids_lookup: dict[int, list[tuple[list[int], Embedding]]] = {}
        """First token of a name -> (tokens of the name, embedding), the longest first; those of extensions."""
        self._known: dict[str, Any] = {}
        self._on_disk: frozenset[str] = frozenset()

    @property
    def word_embeddings(self) -> dict[str, Any]:
        """Those that prompts may use now, by name; extensions add to it."""
        on_disk = self._made(host().services().embeddings(False).loaded)
        for name in self._on_disk - set(on_disk):
            self._known.pop(name, None)
        self._known.update({name: one for name, one in on_disk.items() if name not in self._known})
        self._on_disk = frozenset(on_disk)
        return self._known

    def register_embedding(self, embedding: Embedding, model: Any) -> Embedding:
        """Let prompts use an embedding until it is taken out of `word_embeddings` and `ids_lookup`."""
        return self.register_embedding_by_name(embedding, model, embedding.name)

    def register_embedding_by_name(self, embedding: Embedding, model: Any, name: str) -> Embedding:
        """Let prompts use an embedding by another name."""
        tokens = list(model.cond_stage_model.tokenize([name])[0])
        known = [one for one in self.ids_lookup.get(tokens[0], []) if one[1].name != name]
        self.ids_lookup[tokens[0]] = sorted([*known, (tokens, embedding)], key=lambda one: len(one[0]), reverse=True)
        self.word_embeddings[name] = embedding
        return embedding

    def find_embedding_at_position(self, tokens: Sequence[int], offset: int) -> tuple[Embedding | None, int | None]:
        """Return the embedding of an extension whose name begins at a position, and how many tokens that takes."""
        for own, embedding in self.ids_lookup.get(tokens[offset], ()):
            if list(tokens[offset : offset + len(own)]) == list(own):
                return embedding, len(own)
        return None, None

    def words_beside(self, known: Any, encoder: str, device: Any) -> Any:
        """Return the embeddings of the program and of extensions as one text encoder reads them."""
        return _Words(self, known, encoder, device) if self.ids_lookup else known

    @property
    def skipped_embeddings(self) -> dict[str, Any]:
        """Return those made for other models, by name."""
        return self._made(host().services().embeddings(False).skipped)

    @property
    def embedding_dirs(self) -> dict[str, Any]:
        """Return the folders."""
        return {str(host().layout.embeddings): None}

    def load_textual_inversion_embeddings(self, force_reload: bool = False, sync_with_sd_model: bool = True) -> None:
        """Read the files again."""
        host().services().embeddings(force_reload)

    def add_embedding_dir(self, path: str) -> None:
        """Ask for another folder.

        Raises:
            UnsupportedFeature: embeddings lie in one folder here.
        """
        from modules.domain.errors import UnsupportedFeature

        if Path(path) != host().layout.embeddings:
            raise UnsupportedFeature("a second folder of embeddings")

    @staticmethod
    def _made(known: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, info in known.items():
            made = Embedding(None, name, info.step)
            made.shape, made.vectors = info.shape, info.vectors
            made.sd_checkpoint, made.sd_checkpoint_name = info.sd_checkpoint, info.sd_checkpoint_name
            found[name] = made
        return found


class _Words:
    """Embeddings as one text encoder reads them.

    Args:
        database: has those of extensions, which come first.
        known: those of the program; None for none.
        encoder: `clip_l` or `clip_g`.
        device: where it is.
    """

    def __init__(self, database: EmbeddingDatabase, known: Any, encoder: str, device: Any) -> None:
        self._database, self._known, self._encoder, self._device = database, known, encoder, device

    def find(self, ids: Sequence[int], position: int) -> tuple[int, int, str] | None:
        """Return the embedding whose name begins at a position."""
        found, taken = self._database.find_embedding_at_position(ids, position)
        if found is not None and taken is not None:
            return taken, self.vectors(found.name).shape[0], found.name
        return self._known.find(ids, position) if self._known is not None else None

    def vectors(self, key: str) -> Any:
        """Return the vectors of an embedding, [k, D]."""
        own = (one for entries in self._database.ids_lookup.values() for _, one in entries if one.name == key)
        found = next(own, None)
        if found is None:
            return self._known.vectors(key)
        vec = found.vec[self._encoder] if isinstance(found.vec, dict) else found.vec
        return vec.to(self._device).float()


class Comments(list[str]):
    """Notes about a job; they are told when they are added."""

    def append(self, text: str) -> None:
        """Add a note."""
        super().append(text)
        job = current_job()
        if job is not None:
            job.ctx.note(text)


class Hijack:
    """What A1111 hangs onto its model. Models need nothing hung onto them here, so most of it only answers."""

    fixes: Any = None
    layers = None
    circular_enabled = False
    clip: Any = None

    def __init__(self) -> None:
        self.embedding_db = EmbeddingDatabase()
        self.comments = Comments()
        self.extra_generation_params: dict[str, Any] = {}

    @property
    def optimization_method(self) -> str:
        """Name the attention in use."""
        if host().optimizer is not None:
            return str(host().optimizer.name)
        return host().workshop().attention(host().settings.snapshot()).name

    def hijack(self, m: Any) -> None:
        """Prepare a model; it is."""

    def undo_hijack(self, m: Any) -> None:
        """Undo that."""

    def apply_circular(self, enable: bool) -> None:
        """Make pictures repeat; a job asks for that with its own `tiling`."""

    def apply_optimizations(self, option: Any = None) -> str:
        """Compute attention in the way that an option names, that of the settings without one; returns its name."""
        from modules.compat.optimizers import follow

        own = follow(host().options.cross_attention_optimization if option is None else option)
        return own or self.optimization_method

    def clear_comments(self) -> None:
        """Forget the notes."""
        self.comments.clear()
        self.extra_generation_params = {}

    def get_prompt_lengths(self, text: str) -> tuple[int, int]:
        """Return the tokens of a prompt, and how many there is room for."""
        from modules.compat.sd_model import lent_model
        from modules.domain.plan import TextOptions

        components = lent_model().components
        used = components.family.count_tokens(components.tokenizer, text, TextOptions())
        return used, max(1, -(-used // 75)) * 75
