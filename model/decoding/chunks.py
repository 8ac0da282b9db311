"""Leave the metadata out of PNG, WebP and GIF files.

Pillow refuses whole pixels for some of it: text that is long when it is uncompressed, a wrong checksum, an unknown
version. It also takes minutes for many GIF comments.
"""

from __future__ import annotations

import zlib
from typing import Iterator, NamedTuple

from model.decoding.pixels import MAX_XMP
from model.errors import UnreadableImage

MAX_CHUNKS = 100_000  # 0.1 s in Python; 25 MB in blocks of 255 bytes, the longest of a GIF

_PNG_PIXELS = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND"))
_PNG_TEXTS = frozenset((b"tEXt", b"zTXt", b"iTXt"))
_LONGEST_KEY = 79  # bytes of a text's key
_PNG_EXIF, _PNG_XMP = b"Raw profile type exif", b"XML:com.adobe.xmp"
_WEBP_PIXELS = frozenset((b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF"))
_WEBP_METADATA = 0x20 | 0x08 | 0x04  # flags of VP8X: colour profile, EXIF, XMP
_GIF_EXTENSION, _GIF_IMAGE, _GIF_END = 0x21, 0x2C, 0x3B
_GIF_TRANSPARENCY = (0xF9, 4)  # kind and length of the extension that has the transparent colour


class Pixels(NamedTuple):
    """A file without metadata, and the metadata that can have the orientation: may be empty, or broken."""

    data: bytes
    exif: bytes = b""
    xmp: bytes = b""


class Chunk(NamedTuple):
    """A chunk of a file. start, end: with its header and checksum; content: without them."""

    kind: bytes
    start: int
    end: int
    content: memoryview


def png_pixels(data: bytes) -> Pixels:
    """Leave out all chunks but those that change pixels of the first frame. Raises UnreadableImage, IndexError."""
    view, kept = memoryview(data), _Kept(data, 8)
    found: dict[bytes, bytes] = {}
    for kind, start, end, content in _png_chunks(view):
        if kind in _PNG_PIXELS or (kind == b"tRNS" and _is_transparency(view, start, end)):
            kept.add(start, end)
        elif kind == b"eXIf":
            found.setdefault(kind, bytes(content))
        elif kind in _PNG_TEXTS:
            key = bytes(content[:_LONGEST_KEY]).partition(b"\0")[0]
            if key in (_PNG_EXIF, _PNG_XMP) and key not in found:
                found[key] = _png_text(kind, content)
    exif = found.get(b"eXIf") or _from_hexadecimal(found.get(_PNG_EXIF, b""))
    return Pixels(kept.joined(), exif, found.get(_PNG_XMP, b""))


def webp_canvas(data: bytes) -> tuple[int, int]:
    """Return width and height of an extended WebP, or (0, 0) for the other kinds.

    Pillow allocates the canvas of an extended WebP when it opens the file. Other kinds take little memory to open.
    """
    if not _is_extended(data):
        return 0, 0
    return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")


def webp_pixels(data: bytes) -> Pixels:
    """Leave out all chunks but those with pixels. Raises UnreadableImage, IndexError."""
    if not _is_extended(data):  # a file that has one chunk
        return Pixels(data)
    kept, found = _Kept(data, 12), {b"EXIF": b"", b"XMP ": b""}
    for kind, start, end, content in _webp_chunks(memoryview(data)):
        if kind in _WEBP_PIXELS:
            kept.add(start, end)
        elif kind in found:
            found[kind] = found[kind] or bytes(content)
    file = bytearray(kept.joined())
    file[4:8] = (len(file) - 8).to_bytes(4, "little")
    file[20] &= ~_WEBP_METADATA
    return Pixels(bytes(file), found[b"EXIF"], found[b"XMP "])


def gif_pixels(data: bytes) -> Pixels:
    """Leave out comments and other extensions before the first frame. Raises UnreadableImage, IndexError."""
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)  # behind the palette
    kept = _Kept(data, at)
    for _ in range(MAX_CHUNKS):
        if data[at] in (_GIF_IMAGE, _GIF_END):
            kept.add(at, len(data))
            return Pixels(kept.joined())
        start, at = at, at + 1
        if data[start] == _GIF_EXTENSION:
            at = start + 2
            while data[at]:  # the length of a block
                at += data[at] + 1
            at += 1
            if (data[start + 1], data[start + 2]) == _GIF_TRANSPARENCY:
                kept.add(start, at)
    raise _too_many()


class _Kept:
    """The parts of a file that are kept."""

    def __init__(self, data: bytes, end: int) -> None:
        """end: of the first part, in bytes."""
        self._data, self._parts = data, [(0, end)]

    def add(self, start: int, end: int) -> None:
        """Keep a part behind the others."""
        if self._parts[-1][1] == start:
            start = self._parts.pop()[0]
        self._parts.append((start, end))

    def joined(self) -> bytes:
        """Return the parts. The data are copied at most once."""
        if len(self._parts) == 1 and self._parts[0][1] == len(self._data):
            return self._data
        view = memoryview(self._data)
        return b"".join([view[start:end] for start, end in self._parts])


def _png_chunks(view: memoryview) -> Iterator[Chunk]:
    """Walk over the chunks up to IEND or the first one that is cut short, unless it has pixels."""
    at = 8
    for _ in range(MAX_CHUNKS):
        kind, end = bytes(view[at + 4 : at + 8]), at + 12 + int.from_bytes(view[at : at + 4], "big")
        if len(kind) < 4 or (end > len(view) and kind not in _PNG_PIXELS):
            return
        yield Chunk(kind, at, min(end, len(view)), view[at + 8 : end - 4])
        if kind == b"IEND":
            return
        at = end
    raise _too_many()


def _webp_chunks(view: memoryview) -> Iterator[Chunk]:
    """Walk over the chunks up to the first one that is cut short, unless it has pixels."""
    at = 12
    for _ in range(MAX_CHUNKS):
        kind, size = bytes(view[at : at + 4]), int.from_bytes(view[at + 4 : at + 8], "little")
        end = at + 8 + size + size % 2
        if len(kind) < 4 or (at + 8 + size > len(view) and kind not in _WEBP_PIXELS):
            return
        yield Chunk(kind, at, min(end, len(view)), view[at + 8 : at + 8 + size])
        at = end
    raise _too_many()


def _is_extended(webp: bytes) -> bool:
    return webp[12:16] == b"VP8X"


def _is_transparency(view: memoryview, start: int, end: int) -> bool:
    """Tell whether a chunk tRNS is whole: long enough for the type of image, and with a correct checksum."""
    length, needed = end - start - 12, {0: 2, 2: 6}.get(view[25], 0)
    return length >= needed and zlib.crc32(view[start + 4 : end - 4]) == int.from_bytes(view[end - 4 : end], "big")


def _png_text(kind: bytes, content: memoryview) -> bytes:
    """Return the text of a chunk, MAX_XMP bytes at most if it is compressed, or nothing if it is broken."""
    text = bytes(content).partition(b"\0")[2]
    compressed = kind == b"zTXt" or (kind == b"iTXt" and text[:1] == b"\1")
    if kind == b"zTXt":
        text = text[1:]  # the method
    if kind == b"iTXt":
        text = text[2:].split(b"\0", 2)[-1]  # behind flag, method, language and translated key
    try:
        return zlib.decompressobj().decompress(text, MAX_XMP) if compressed else text
    except zlib.error:
        return b""


def _from_hexadecimal(profile: bytes) -> bytes:
    """Return the bytes of a profile that ImageMagick wrote: two lines of header, then hexadecimal digits."""
    try:
        return bytes.fromhex("".join(profile.decode("latin-1").split("\n")[3:]))
    except ValueError:
        return b""


def _too_many() -> UnreadableImage:
    return UnreadableImage("The image has too many comments or other metadata: save it again without them.")
