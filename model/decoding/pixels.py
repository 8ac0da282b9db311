"""Decoded images to upright RGB images."""

from __future__ import annotations

import re
import struct

import numpy as np
from PIL import Image, ImageChops

UPRIGHT = 1  # EXIF orientation
SIDES_SWAPPED = (5, 6, 7, 8)  # EXIF orientations in which width and height are exchanged

# The operation that makes an image of this EXIF orientation upright. 1 is upright already.
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
MAX_XMP = 4_000_000  # bytes that are searched
_ORIENTATION = 0x0112  # tag
_INTEGERS = {1: "B", 3: "H", 4: "L", 8: "h", 9: "l"}  # TIFF's types
# As an attribute or an element. Without limits for the lengths, searching could take quadratic time.
_XMP_ORIENTATION = re.compile(
    rb"""(?<!/)tiff:Orientation(?:\s{0,20}=\s{0,20}["']|(?:\s[^<>]{0,80})?>)\s{0,20}([1-8])\b"""
)


def orientation(exif: bytes, xmp: bytes) -> int:
    """Return the orientation, in 1 to 8, that EXIF has, or else XMP. 1 (upright) if both are missing or broken."""
    found = _exif_orientation(exif)
    if 1 <= found <= 8:
        return found
    described = _XMP_ORIENTATION.search(xmp, 0, MAX_XMP)
    return int(described[1]) if described else UPRIGHT


def _exif_orientation(exif: bytes) -> int:
    """Return the orientation in the first directory of EXIF data, or 0. Other tags do not matter, broken or not."""
    tiff = exif[6:] if exif.startswith(b"Exif\0\0") else exif
    order = "<" if tiff.startswith(b"II") else ">"
    try:
        (start,) = struct.unpack_from(order + "L", tiff, 4)
        (tags,) = struct.unpack_from(order + "H", tiff, start)
        for at in range(start + 2, start + 2 + 12 * tags, 12):
            tag, kind = struct.unpack_from(order + "HH", tiff, at)
            if tag == _ORIENTATION:
                return int(struct.unpack_from(order + _INTEGERS[kind], tiff, at + 8)[0])
    except (struct.error, KeyError):
        pass  # the pixels may still be intact
    return 0


def to_upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turn a decoded image upright."""
    transpose = _TRANSPOSES.get(orientation)
    return image if transpose is None else image.transpose(transpose)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB, 8 bits per channel, transparent pixels blended with white."""
    if image.mode.startswith("I;16"):
        # Pillow would clip every value above 255 to white.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode == "CMYK" and "adobe" not in image.info:
        # Pillow assumes that every CMYK JPEG is inverted, but only Adobe's are.
        image = ImageChops.invert(image)
    if not image.has_transparency_data:
        return image.convert("RGB")
    # Transparent pixels have a colour too, which is never displayed.
    image = image if image.mode == "RGBA" else image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image)
    return white
