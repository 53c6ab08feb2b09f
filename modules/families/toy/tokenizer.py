"""Words to numbers without a vocabulary file."""

import re
import zlib

from modules.families.toy.networks import VOCABULARY

_WORD = re.compile(r"\w+|[^\w\s]")


class ToyTokenizer:
    """Each word and each mark is one token; words share 128 numbers by their checksum."""

    bos = VOCABULARY - 3
    eos = VOCABULARY - 2
    comma_id = VOCABULARY - 1

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without start and end tokens; upper case makes no difference."""
        return [
            self.comma_id if word == "," else zlib.crc32(word.encode()) % (VOCABULARY - 3)
            for word in _WORD.findall(text.lower())
        ]

    @property
    def bracket_factors(self) -> dict[int, float]:
        """How brackets change the weight of what follows, for the old way of emphasis."""
        return {self.encode(mark)[0]: factor for mark, factor in zip("([)]", (1.1, 1 / 1.1, 1 / 1.1, 1.1), strict=True)}
