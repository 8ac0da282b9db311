"""Bytes to an upright RGB photo, the same way for training and serving."""

from __future__ import annotations

import functools
import importlib
import io
import re
import struct
import warnings
from contextlib import contextmanager
from typing import Callable, Iterator, Sequence

import numpy as np
from PIL import Image, ImageChops

from model.errors import ImageTooLarge, RecognitionError, UnreadableImage, UnsupportedImage

# What the files are called; their first bytes tell them apart.
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".heic", ".heif")
MAX_PIXELS = 50_000_000  # 200 MB as Pillow holds RGB
PREVIEW = 640  # pixels of the longer side that a JPEG is decoded to at first, or up to twice as many
# Decoding time grows with pixels times scans, and a scan takes a few bytes: this many are a second and a half.
MAX_SCANNED_PIXELS = 2_000_000_000

_SIGNATURES = {
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "WEBP": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "GIF": re.compile(rb"GIF8[79]a"),
    "HEIF": re.compile(rb"....ftyp(hei[cmsx]|hev[cmsx]|mif1|msf1)", re.DOTALL),
}
# Pieces that Pillow appends to each other, copying all it has: 4 MB of them take it minutes. No photo has as many.
_PIECES = {"GIF": (b"\x21\xfe", 1000), "JPEG": (b"Exif\0\0", 100)}
# EXIF orientation: what turns the picture upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LYING = (5, 6, 7, 8)


class Photo:
    """An upright RGB photo of `width` x `height` pixels, decoded no finer than it is looked at.

    A large JPEG can be had at a half, a quarter or an eighth of its resolution, for a part of the time and memory.
    """

    def __init__(
        self, size: tuple[int, int], read: Callable[[int], Image.Image], divisors: Sequence[int] = (1,)
    ) -> None:
        """read: what its sides are divided by, out of `divisors` -> RGB image."""
        self.width, self.height = size
        # Less than the first glance takes would not be worth decoding it once more.
        self._divisors = [d for d in divisors if d == 1 or self.longer >= d * PREVIEW]
        self._read = functools.lru_cache(maxsize=None)(read)

    @classmethod
    def of(cls, image: Image.Image) -> Photo:
        return cls(image.size, lambda _: image)

    @property
    def longer(self) -> int:
        """Of the two sides."""
        return max(self.width, self.height)

    def preview(self) -> Image.Image:
        """All of it, PREVIEW pixels or more on the longer side, where it has them. Raises UnreadableImage."""
        return self.view(PREVIEW / self.longer)

    def view(self, scale: float = 1) -> Image.Image:
        """All of it, at no less than `scale` of its resolution; without `scale`, all there is.

        What has been looked at before does not matter.

        Raises UnreadableImage.
        """
        return self._read(max(d for d in self._divisors if d == 1 or d * scale <= 1))


def decode(data: bytes) -> Photo:
    """Decode an image file: upright (EXIF orientation applied), RGB, 8 bits a channel.

    Of an animation it is the first frame. What is transparent becomes white. Colour profiles are not applied.

    Raises UnsupportedImage, UnreadableImage or ImageTooLarge.
    """
    kind = next((kind for kind, signature in _SIGNATURES.items() if signature.match(data)), None)
    if kind is None:
        raise UnsupportedImage("The file is not an image that can be read here: JPEG, PNG, WebP, GIF or HEIC.")
    with _our_errors():
        image = _open(data, kind)
        if kind != "JPEG" or image.mode not in ("RGB", "L"):
            return Photo.of(_rgb(_upright(image)))
        photo = Photo(_upright_size(image), functools.partial(_reduced, data), (1, 2, 4, 8))
        photo.preview()  # what is broken shows at any resolution
        return photo


def _reduced(data: bytes, divisor: int) -> Image.Image:
    """A JPEG at a part of its resolution: 1, 2, 4 or 8. Raises UnreadableImage."""
    with _our_errors():
        image = Image.open(io.BytesIO(data), formats=("JPEG",))  # `decode` has looked at it before
        if divisor > 1:
            image.draft(image.mode, (max(1, image.width // divisor), max(1, image.height // divisor)))
        return _rgb(_upright(image))


@contextmanager
def _our_errors() -> Iterator[None]:
    """What Pillow raises -> UnreadableImage or ImageTooLarge."""
    with warnings.catch_warnings():
        # Pillow's remarks on odd files belong in nobody's log; what it calls a bomb is far over our limit.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            yield
        except RecognitionError:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise _too_large() from error
        except Exception as error:  # of a damaged file Pillow raises nearly anything
            raise UnreadableImage("The image is damaged or cut short, or of a rare variant of its format.") from error


def _open(data: bytes, kind: str) -> Image.Image:
    """With no more read than the header. Raises ImageTooLarge, UnreadableImage and whatever Pillow raises."""
    if kind == "WEBP":
        # Pillow would import all its plugins to find this one.
        importlib.import_module("PIL.WebPImagePlugin")
        _check_pixels(*_webp_canvas(data))
    if kind == "HEIF":
        # Imported here because it takes 40 ms, and only photos from phones need it.
        importlib.import_module("pillow_heif").register_heif_opener()
        _check_item_names(data)
    marker, most = _PIECES.get(kind, (b"", len(data) + 1))
    if data.count(marker) > most:
        raise UnreadableImage("The image carries too many comments or pieces of EXIF: save it again without them.")
    image = Image.open(io.BytesIO(data), formats=(kind,))
    _check_pixels(*image.size)
    if kind == "HEIF" and image.mode == "I;16":
        # pillow-heif believes the header that it has two bytes a pixel, and writes beyond the end where it has one.
        raise UnreadableImage("A grey HEIC with more than 8 bits a pixel cannot be read here: save it in colour.")
    if "progressive" in image.info and image.width * image.height * data.count(b"\xff\xda") > MAX_SCANNED_PIXELS:
        raise UnreadableImage("The JPEG has too many scans: save it again without the option `progressive`.")
    return image


def _check_item_names(data: bytes) -> None:
    """Of a HEIC. pillow-heif takes the whole process down where a type or name of an item is not UTF-8.

    Raises ValueError.
    """
    for box in re.finditer(b"infe", data):
        start = box.start() - 4
        size = int.from_bytes(data[start : start + 4], "big")
        if size < 18:
            raise ValueError("the size of a box is not given, or less than what must be in it")
        if start + size <= len(data):  # else it is no box, but pixels that look like one
            data[start + (18 if data[start + 8] == 3 else 16) : start + size].decode()


def _webp_canvas(data: bytes) -> tuple[int, int]:
    """Width and height of an extended WebP, for which memory is taken when it is opened; other kinds are small."""
    if data[12:16] != b"VP8X":
        return 0, 0
    return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")


def _check_pixels(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise _too_large()


def _too_large() -> ImageTooLarge:
    return ImageTooLarge(f"The image has more than {MAX_PIXELS // 1_000_000} million pixels.")


def _orientation(image: Image.Image) -> int:
    """As EXIF has it; 1 where it is upright or not said."""
    try:
        return int(image.getexif().get(0x0112, 1))
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, struct.error):
        return 1  # EXIF that is broken says nothing about the pixels


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    turn = _TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _upright_size(image: Image.Image) -> tuple[int, int]:
    return (image.height, image.width) if _orientation(image) in _LYING else image.size


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        # Pillow would cut everything over 255 to white.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode == "CMYK" and "adobe" not in image.info:
        # Pillow takes every CMYK JPEG for one of Adobe's, which are inverted.
        image = ImageChops.invert(image)
    if not image.has_transparency_data:
        return image.convert("RGB")
    # Laid over white, because a transparent pixel has a colour too, which nobody has ever seen.
    image = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image)
    return white
