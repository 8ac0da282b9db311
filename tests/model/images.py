"""Images for tests, and functions to encode and compare them."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

from model import photo
from testing.paths import SAMPLES

PIXELS = Image.fromarray(np.random.RandomState(0).randint(0, 256, (20, 30, 3)).astype(np.uint8))
ASTRONAUT = Image.open(SAMPLES / "astronaut.jpg").convert("RGB").resize((96, 96))
UPRIGHT = ASTRONAUT.resize((64, 96))
FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "HEIF", "AVIF"]


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    if kind in ("HEIF", "AVIF"):
        from pillow_heif import register_avif_opener, register_heif_opener

        register_heif_opener()
        register_avif_opener()
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decode(data: bytes) -> Image.Image:
    """Decode a photo at full resolution."""
    return photo.decode(data).at_scale()


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB")).astype(int)


def difference(a: Image.Image, b: Image.Image) -> float:
    """Return the mean absolute difference over pixels and channels, in [0, 255]."""
    return float(np.abs(pixels(a) - pixels(b)).mean())


def jpeg_segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def with_segments(*segments: bytes, data: bytes | None = None) -> bytes:
    """Put segments at the beginning of a JPEG, by default one of ASTRONAUT."""
    data = encoded(ASTRONAUT, "JPEG") if data is None else data
    return data[:2] + b"".join(segments) + data[2:]


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def xmp(orientation: int, template: str = '<rdf:Description tiff:Orientation="{}"/>') -> bytes:
    """Return XMP with an orientation, and nothing else."""
    described = template.format(orientation)
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF>{described}</rdf:RDF></x:xmpmeta>'.encode()


def with_orientation(orientation: int, upright: Image.Image = UPRIGHT) -> tuple[Image.Image, bytes]:
    """Return the pixels as a camera in that EXIF orientation stores them, and the EXIF data."""
    transposes = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = upright.transpose(transposes[orientation]) if orientation in transposes else upright
    return stored, exif.tobytes()
