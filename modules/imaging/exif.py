"""The one EXIF tag that matters here: UserComment, where JPEG, WebP and AVIF files keep the infotext.

Reading looks at two directories and one value, whatever else the block claims to contain, so a hostile block costs
nothing. Writing uses the type that A1111's readers expect, which Pillow's writer does not.

Source: CIPA DC-008 (Exif 2.32), sections 4.6.2 (directories) and 4.6.5 (UserComment).
"""

import struct

_EXIF_DIRECTORY = 0x8769
_USER_COMMENT = 0x9286
_LONG, _UNDEFINED = 4, 7
_ENCODINGS = {b"UNICODE\0": "utf_16_be", b"ASCII\0\0\0": "ascii", b"JIS\0\0\0\0\0": "shift_jis"}
_COMMENT_AT = 44
"""Two directories of one entry each fill the bytes before: 8 for the header, 18 per directory."""


def exif_with_comment(text: str) -> bytes:
    """Return an EXIF block that holds `text` as UserComment, in big-endian UTF-16."""
    comment = b"UNICODE\0" + text.encode("utf_16_be", errors="replace")
    header = struct.pack(">2sHI", b"MM", 42, 8)
    first = struct.pack(">HHHIII", 1, _EXIF_DIRECTORY, _LONG, 1, 26, 0)
    second = struct.pack(">HHHIII", 1, _USER_COMMENT, _UNDEFINED, len(comment), _COMMENT_AT, 0)
    return b"Exif\0\0" + header + first + second + comment


def comment_in_exif(exif: bytes) -> str | None:
    """Return the UserComment of an EXIF block; None when there is none or the block is broken.

    A comment without one of the standard's encoding marks is read as UTF-8.
    """
    body = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(body[:2])
    if order is None:
        return None
    try:
        first = struct.unpack_from(f"{order}I", body, 4)[0]
        directory = _entry(body, order, first, _EXIF_DIRECTORY)
        entry = directory and _entry(
            body, order, struct.unpack_from(f"{order}I", body, directory + 8)[0], _USER_COMMENT
        )
        if not entry:
            return None
        length, offset = struct.unpack_from(f"{order}II", body, entry + 4)
    except struct.error:
        return None
    start = entry + 8 if length <= 4 else offset
    return _decode(body[start : start + length]) or None


def _entry(body: bytes, order: str, directory: int, tag: int) -> int:
    """Return where the entry of a tag begins in a directory, 0 when it is not there."""
    count = struct.unpack_from(f"{order}H", body, directory)[0]
    for at in range(directory + 2, directory + 2 + 12 * count, 12):
        if struct.unpack_from(f"{order}H", body, at)[0] == tag:
            return at
    return 0


def _decode(raw: bytes) -> str:
    encoding = _ENCODINGS.get(raw[:8])
    if encoding is None:
        return raw.decode(errors="ignore").strip("\0")
    return raw[8:].decode(encoding, errors="ignore")
