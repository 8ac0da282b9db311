"""Both crops of a face as one JPEG file, from which another network can compute embeddings later."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from model.errors import UnreadableImage

QUALITY = 95  # of the JPEG: about 15 kB


def pack(crop: np.ndarray, landmark_crop: np.ndarray) -> bytes:
    """Write both crops, uint8 [size, size, 3] RGB, one below the other."""
    width, height = max(crop.shape[1], landmark_crop.shape[1]), crop.shape[0] + landmark_crop.shape[0]
    both = Image.new("RGB", (width, height))
    both.paste(Image.fromarray(crop), (0, 0))
    both.paste(Image.fromarray(landmark_crop), (0, crop.shape[0]))
    file = io.BytesIO()
    both.save(file, "JPEG", quality=QUALITY, subsampling=0)
    return file.getvalue()


def cut(data: bytes) -> bytes:
    """Return the upper crop, which is the one for people to look at, as a JPEG file. Raises UnreadableImage."""
    both = _read(data)
    side = min(both.width, both.height)
    file = io.BytesIO()
    both.crop((0, 0, side, side)).save(file, "JPEG", quality=QUALITY, subsampling=0)
    return file.getvalue()


def unpack(data: bytes, size: int, landmark_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Read both crops, uint8 [size, size, 3] RGB. size, landmark_size: their sides. Raises UnreadableImage."""
    both = np.asarray(_read(data))
    if both.shape != (size + landmark_size, max(size, landmark_size), 3):
        raise UnreadableImage("A stored crop has another size than the networks need.")
    return both[:size, :size], both[size:, :landmark_size]


def _read(data: bytes) -> Image.Image:
    """Read both crops as one image. Raises UnreadableImage."""
    try:
        return Image.open(io.BytesIO(data), formats=("JPEG",)).convert("RGB")
    except (OSError, ValueError, SyntaxError) as error:
        raise UnreadableImage("A stored crop cannot be read.") from error
