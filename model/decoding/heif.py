"""Open HEIC and AVIF files."""

from __future__ import annotations

import importlib
import io
import re
from typing import Callable

from PIL import Image

from model.decoding.heif_size import CodedSizes
from model.errors import UnreadableImage

PADDING = 63  # pixels: a coded image is at most so much larger than the photo on each side

# libheif wants one of these among the compatible brands.
_KNOWN_BRANDS = (b"heic", b"heix", b"mif1", b"avif")
_METADATA = (b"Exif", b"mime", b"uri ")  # types of items
_IGNORED = b"skip"  # a type that libheif does not know


def open_heif(data: bytes, check_pixels: Callable[[int, int], None]) -> Image.Image:
    """Read the header of a HEIC or AVIF file. Pixels are not decoded yet; libheif will turn them upright.

    check_pixels: raises an error if width times height is too large. Raises this error, UnreadableImage, ValueError,
    IndexError and any error of pillow-heif.
    """
    file = bytearray(data)
    types = _ignore_metadata(file)
    for width, height in CodedSizes(memoryview(data), types).found:
        check_pixels(max(0, width - PADDING), max(0, height - PADDING))
    _add_known_brand(file)
    # Imported here because it takes 40 ms and only photos from phones need it. `Image.open` asks for the main brand.
    image: Image.Image = importlib.import_module("pillow_heif").HeifImageFile(io.BytesIO(file))
    if image.mode == "I;16":
        # pillow-heif trusts a header that claims 2 bytes per pixel, and writes beyond the buffer if there is only one.
        raise UnreadableImage("A grey HEIC or AVIF of more than 8 bits per pixel cannot be read: save it in colour.")
    return image


def _add_known_brand(file: bytearray) -> None:
    """Replace a compatible brand by one that libheif knows, if there is none. Other brands have the same structure."""
    end = int.from_bytes(file[:4], "big")
    if end >= 20 and not any(file[at : at + 4] in _KNOWN_BRANDS for at in range(16, min(end, len(file)), 4)):
        file[16:20] = b"mif1"


def _ignore_metadata(file: bytearray) -> list[tuple[int, bytes]]:
    """Change the types of items that are metadata, because libheif refuses the file if they are cut short or broken.

    -> IDs and types of all items.

    Raises ValueError for entries with which pillow-heif crashes the process: their type or name is not UTF-8.
    """
    types = []
    for entry in re.finditer(b"infe", file):
        start = entry.start() - 4
        size = int.from_bytes(file[start : start + 4], "big")
        if size < 18:
            raise ValueError("the size of an item entry is missing or smaller than its required fields")
        if start + size > len(file):
            continue  # these bytes are pixel data, not an entry
        kind = start + (18 if file[start + 8] == 3 else 16)
        file[kind : start + size].decode()
        types.append((int.from_bytes(file[start + 12 : kind - 2], "big"), bytes(file[kind : kind + 4])))
        if types[-1][1] in _METADATA:
            file[kind : kind + 4] = _IGNORED
    return types
