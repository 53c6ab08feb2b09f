"""The chunks a PNG file consists of, without decoding any picture.

Source: Portable Network Graphics (PNG) Specification (Third Edition), W3C, sections 5 and 11.3.3.
"""

import struct
import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_TEXT = 2**20
"""Longest text of one chunk, in bytes after decompression."""
MAX_ALL_TEXT = 8 * 2**20
_TEXT_KINDS = (b"tEXt", b"zTXt", b"iTXt")


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk as it stands in the file: length, kind, data, checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def text_chunk(keyword: str, text: str) -> bytes:
    """Return a text chunk: tEXt where Latin-1 is enough, else uncompressed iTXt in UTF-8."""
    key = keyword.encode("latin-1")
    try:
        return chunk(b"tEXt", key + b"\0" + text.encode("latin-1"))
    except UnicodeEncodeError:
        # Compression flag, method, language tag and translated keyword: none of them used.
        return chunk(b"iTXt", key + b"\0\0\0\0\0" + text.encode())


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and end of each whole chunk; start and end include length and checksum."""
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            return
        yield kind, at, end
        at = end


def without_long_text(data: bytes) -> bytes:
    """Leave out text chunks that are, or unpack to, more than the limits; other data is returned unchanged."""
    if not data.startswith(SIGNATURE):
        return data
    dropped: list[tuple[int, int]] = []
    total = 0
    for kind, start, end in chunks(data):
        if kind in _TEXT_KINDS or kind == b"iCCP":
            size = _text_bytes(kind, data[start + 8 : end - 4])
            if size > MAX_TEXT or total + size > MAX_ALL_TEXT:
                dropped.append((start, end))
            else:
                total += size
    kept, at = bytearray(), 0
    for start, end in dropped:
        kept += data[at:start]
        at = end
    return bytes(kept + data[at:]) if dropped else data


def _text_bytes(kind: bytes, body: bytes) -> int:
    """Return the length of a chunk's text; of a compressed one no more is unpacked than needed to see it is too long."""
    _key, _, rest = body.partition(b"\0")
    if kind == b"tEXt" or (kind == b"iTXt" and rest[:1] != b"\1"):
        return len(body)
    # iTXt has a flag, a method and two more terminated texts before the data, the other kinds only the method.
    packed = rest[2:].split(b"\0", 2)[-1] if kind == b"iTXt" else rest[1:]
    try:
        return len(zlib.decompressobj().decompress(packed, MAX_TEXT + 1))
    except zlib.error:
        return len(body)
