"""The byte-pair tokenizer of CLIP, read from the vocabulary file that the open_clip wheel carries."""

import gzip
import heapq
import html
import importlib.util
import itertools
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType

from modules.domain.errors import BrokenFile, ModelError
from modules.nn.chunks import bracket_factors

VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"
SIZE = 49408
_MERGES = SIZE - 2 * 256 - 2
_END = "</w>"
_CACHED_LETTERS = 32
_SPECIAL = ("<start_of_text>", "<end_of_text>")
_WORD = r"<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}++|\p{N}|[^\s\p{L}\p{N}]++"


class ClipTokenizer:
    """Text to token ids, without start and end tokens and without truncation.

    Source: Radford et al. 2021, arXiv:2103.00020, section 2.4; byte-level BPE of Radford et al. 2019.

    Args:
        merges: pairs of symbols in the order in which they were learned.
    """

    bos = SIZE - 2
    eos = SIZE - 1

    def __init__(self, merges: Sequence[tuple[str, str]]) -> None:
        import regex

        letters = _byte_letters()
        symbols = [*letters.values(), *(letter + _END for letter in letters.values())]
        symbols += [left + right for left, right in merges]
        self._id = {symbol: i for i, symbol in enumerate((*symbols, *_SPECIAL))}
        self._symbol = (*symbols, *_SPECIAL)
        self._rank = {pair: rank for rank, pair in enumerate(merges)}
        self._letter = [letters[byte] for byte in range(256)]
        self._byte = {letter: byte for byte, letter in letters.items()}
        self._words = regex.compile(_WORD, regex.IGNORECASE)
        self._cached = lru_cache(maxsize=65_536)(self._encode_word)

    def __len__(self) -> int:
        return len(self._symbol)

    @property
    def comma_id(self) -> int:
        """Id of a comma that ends a word."""
        return self._id["," + _END]

    @property
    def symbols(self) -> tuple[str, ...]:
        """All symbols, in the order of their ids."""
        return self._symbol

    @property
    def merges(self) -> tuple[tuple[str, str], ...]:
        """Pairs of symbols that are joined, in the order in which they were learned."""
        return tuple(self._rank)

    @cached_property
    def bracket_factors(self) -> Mapping[int, float]:
        """How tokens with brackets in them change the weight of what follows, for the old way of emphasis."""
        return MappingProxyType(bracket_factors(self._symbol))

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text; upper case and repeated blanks make no difference. Never raises."""
        ids: list[int] = []
        for word in self._words.findall(_cleaned(text)):
            ids += self._cached(word) if len(word) <= _CACHED_LETTERS else self._encode_word(word)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, words separated by blanks; special tokens appear by name."""
        symbols = "".join(self._symbol[i] for i in ids)
        data = bytearray(self._byte[letter] for letter in symbols)
        return data.decode("utf-8", errors="replace").replace(_END, " ").strip()

    def _encode_word(self, word: str) -> tuple[int, ...]:
        if word in _SPECIAL:
            return (self._id[word],)
        symbols = [self._letter[byte] for byte in word.encode("utf-8", errors="replace")]
        symbols[-1] += _END
        return tuple(self._id[symbol] for symbol in _merge(symbols, self._rank))


def load_clip_tokenizer() -> ClipTokenizer:
    """Build the tokenizer from the installed open_clip package, which is found but not imported.

    Raises:
        ModelError: open_clip is not installed.
        BrokenFile: its vocabulary file is missing or damaged.
    """
    spec = importlib.util.find_spec("open_clip")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        raise ModelError("The CLIP vocabulary comes with the package open_clip_torch, which is not installed")
    return read_clip_tokenizer(Path(folders[0]) / VOCABULARY)


def read_clip_tokenizer(path: Path) -> ClipTokenizer:
    """Build the tokenizer from a gzipped list of merges, one pair per line after a heading.

    Raises:
        BrokenFile: the file is missing, damaged or too short.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            lines = list(itertools.islice(file, 1, _MERGES + 1))
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise BrokenFile(path, f"the CLIP vocabulary cannot be read: {error}") from error
    merges = [(left, right) for left, _, right in (line.strip().partition(" ") for line in lines)]
    if len(merges) != _MERGES or not all(right for _, right in merges):
        raise BrokenFile(path, f"the CLIP vocabulary has {len(merges)} usable merges instead of {_MERGES}")
    return ClipTokenizer(merges)


@lru_cache(maxsize=1)
def _byte_letters() -> Mapping[int, str]:
    """Give each byte a visible letter: printable Latin-1 its own, the rest from U+0100 on. The order numbers the ids."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable}
    letters |= {byte: chr(0x100 + i) for i, byte in enumerate(others)}
    return MappingProxyType(letters)


def _cleaned(text: str) -> str:
    import ftfy

    text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return " ".join(text.split()).lower()


def _merge(symbols: list[str], rank: Mapping[tuple[str, str], int]) -> list[str]:
    """Join neighbours, earliest learned pair first and from the left, until no known pair is left; O(n log n).

    A heap holds the pairs. Joining can only make pairs that were learned later, so order is never revised.
    """
    size = len(symbols)
    after = list(range(1, size + 1))
    before = list(range(-1, size - 1))
    heap: list[tuple[int, int, str, str]] = []

    def offer(i: int) -> None:
        if i >= 0 and after[i] < size:
            pair = (symbols[i], symbols[after[i]])
            if pair in rank:
                heapq.heappush(heap, (rank[pair], i, *pair))

    for i in range(size):
        offer(i)
    while heap:
        _, i, left, right = heapq.heappop(heap)
        j = after[i]
        if symbols[i] != left or j >= size or symbols[j] != right:
            continue  # one of the two has been joined with something else
        symbols[i], symbols[j] = left + right, ""
        after[i] = after[j]
        if after[i] < size:
            before[after[i]] = i
        offer(before[i])
        offer(i)
    return [symbol for symbol in symbols if symbol]
