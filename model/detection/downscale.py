"""Scale photos down to the sizes at which faces are searched."""

from __future__ import annotations

from PIL import Image


def downscale(image: Image.Image, side: int) -> Image.Image:
    """Scale an image down to `side` pixels on its longer side, by a whole factor first because that is fast."""
    factor = max(image.size) // side
    if factor > 1:
        image = image.reduce(factor)
    scale = side / max(image.size)
    if scale >= 1:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    # As sharp as Pillow's BOX filter, but without its local dislocations, which MTCNN can mistake for a face.
    return image.resize(size, Image.Resampling.HAMMING)
