"""Bytes to an upright RGB photo, the same way for training and serving."""

from __future__ import annotations

import io

from PIL import Image, ImageOps

from model.errors import ImageTooLarge, UnreadableImage, UnsupportedImage

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_PIXELS = 50_000_000  # 150 MB as RGB


def decode(data: bytes) -> Image.Image:
    """Decode an image file: upright (EXIF orientation applied), RGB, 8 bits a channel.

    Raises UnsupportedImage, UnreadableImage or ImageTooLarge.
    """
    try:
        # The formats are named because Pillow would otherwise try several dozen, some of them rarely looked after.
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise _too_large() from error
    except Exception as error:
        raise UnsupportedImage(f"The file is not an image that can be read here: {_formats()}.") from error
    if image.width * image.height > MAX_PIXELS:
        raise _too_large()
    try:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return image.convert("RGB")
    except Exception as error:
        raise UnreadableImage("The image is damaged or cut short.") from error


def _formats() -> str:
    return ", ".join(FORMATS[:-1]) + f" or {FORMATS[-1]}"


def _too_large() -> ImageTooLarge:
    return ImageTooLarge(f"The image has more than {MAX_PIXELS // 1_000_000} million pixels.")
