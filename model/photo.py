"""Decode image files to upright RGB photos. Training and serving share this code."""

from __future__ import annotations

import functools
import hashlib
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

# Suffixes of the files that training reads. The format itself is recognised by the first bytes.
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".heic", ".heif")
SIGNATURES = {
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "WEBP": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "GIF": re.compile(rb"GIF8[79]a"),
    "HEIF": re.compile(rb"....ftyp(hei[cmsx]|hev[cmsx]|mif1|msf1)", re.DOTALL),
}
MAX_PIXELS = 50_000_000  # 200 MB in Pillow, which stores RGB in 4 bytes per pixel
# Pixels x scans of a progressive JPEG: decoding time is proportional to them, and a scan needs few bytes.
MAX_SCANNED_PIXELS = 2_000_000_000  # about 1.5 s
PREVIEW_SIDE = 640  # pixels: a preview's longer side is at least this long, if the photo's is

# Segments (marker, maximum number) that Pillow concatenates in quadratic time: 4 MB of them take it minutes. No camera
# or editor writes as many.
_SEGMENT_LIMITS = {"GIF": (b"\x21\xfe", 1000), "JPEG": (b"Exif\0\0", 100)}
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
_SIDES_SWAPPED = (5, 6, 7, 8)  # EXIF orientations in which width and height are exchanged


class Photo:
    """An upright RGB photo of `width` x `height` pixels, decoded only at the resolution that is asked for.

    A large JPEG is also available at 1/2, 1/4 or 1/8 of its resolution, for a fraction of the time and memory.
    """

    def __init__(
        self, size: tuple[int, int], read: Callable[[int], Image.Image], divisors: Sequence[int] = (1,)
    ) -> None:
        """Create a photo from a decoder.

        size: (width, height) at full resolution. read: decodes the photo with both sides divided by one of `divisors`
        and returns an RGB image.
        """
        self.width, self.height = size
        # The preview is decoded first and cached, so a resolution below it would only cost a second decoding.
        self._divisors = [d for d in divisors if d == 1 or self.longer_side >= d * PREVIEW_SIDE]
        self._read = functools.lru_cache(maxsize=None)(read)

    @classmethod
    def of(cls, image: Image.Image) -> Photo:
        """Wrap an upright RGB image, available at full resolution only."""
        return cls(image.size, lambda _: image)

    @property
    def longer_side(self) -> int:
        """The larger of width and height, in pixels."""
        return max(self.width, self.height)

    def preview(self) -> Image.Image:
        """Return the whole photo, RGB, with at least PREVIEW_SIDE pixels on the longer side if it has as many.

        Raises UnreadableImage.
        """
        return self.at_scale(PREVIEW_SIDE / self.longer_side)

    def at_scale(self, scale: float = 1) -> Image.Image:
        """Return the whole photo, RGB, at the lowest available resolution that is at least `scale` of the full one.

        scale: 1, or anything above, is full resolution. Earlier calls do not change the result.

        Raises UnreadableImage.
        """
        return self._read(max(d for d in self._divisors if d == 1 or d * scale <= 1))

    def digest(self) -> str:
        """Return 16 hex digits of the SHA-256 of size and pixels. Collections recognize photos by it.

        Raises UnreadableImage.
        """
        image = self.at_scale()
        return hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()[:16]


def decode(data: bytes) -> Photo:
    """Decode an image file to an upright photo (EXIF orientation applied), RGB, 8 bits per channel.

    An animation gives its first frame. Transparent pixels become white. Colour profiles are not applied.

    Raises UnsupportedImage, UnreadableImage or ImageTooLarge.
    """
    file_format = next((name for name, signature in SIGNATURES.items() if signature.match(data)), None)
    if file_format is None:
        raise UnsupportedImage("The file is not an image that can be read here: JPEG, PNG, WebP, GIF or HEIC.")
    with _pillow_errors_converted():
        image = _open(data, file_format)
        if file_format != "JPEG" or image.mode not in ("RGB", "L"):
            return Photo.of(_to_rgb(_to_upright(image)))
        photo = Photo(_upright_size(image), functools.partial(_decode_jpeg, data), (1, 2, 4, 8))
        photo.preview()  # finds damage, which shows at any resolution
        return photo


def _decode_jpeg(data: bytes, divisor: int) -> Image.Image:
    """Decode a JPEG with both sides divided by 1, 2, 4 or 8. Raises UnreadableImage."""
    with _pillow_errors_converted():
        image = Image.open(io.BytesIO(data), formats=("JPEG",))  # `decode` has checked the limits
        if divisor > 1:
            image.draft(image.mode, (max(1, image.width // divisor), max(1, image.height // divisor)))
        return _to_rgb(_to_upright(image))


@contextmanager
def _pillow_errors_converted() -> Iterator[None]:
    """Convert Pillow's errors to UnreadableImage or ImageTooLarge, and ignore its warnings."""
    with warnings.catch_warnings():
        # Warnings about odd files would fill the log. Pillow's limit for decompression bombs is far above MAX_PIXELS.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            yield
        except RecognitionError:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise _too_large() from error
        except Exception as error:  # Pillow raises nearly any class for a damaged file
            raise UnreadableImage("The image is damaged, truncated or in a rare variant of its format.") from error


def _open(data: bytes, file_format: str) -> Image.Image:
    """Read the header and check it against the limits; pixels are not decoded yet.

    Raises ImageTooLarge, UnreadableImage and any error of Pillow.
    """
    if file_format == "WEBP":
        # Without this import Pillow imports all its plugins to find the one for WebP.
        importlib.import_module("PIL.WebPImagePlugin")
        _check_pixels(*_webp_canvas(data))
    if file_format == "HEIF":
        # Imported here because it takes 40 ms and only photos from phones need it.
        importlib.import_module("pillow_heif").register_heif_opener()
        _check_heif_items(data)
    marker, limit = _SEGMENT_LIMITS.get(file_format, (b"", len(data) + 1))
    if data.count(marker) > limit:
        raise UnreadableImage("The image has too many comments or EXIF segments: save it again without them.")
    image = Image.open(io.BytesIO(data), formats=(file_format,))
    _check_pixels(*image.size)
    if file_format == "HEIF" and image.mode == "I;16":
        # pillow-heif trusts a header that claims 2 bytes per pixel, and writes beyond the buffer if there is only one.
        raise UnreadableImage("A grey HEIC with more than 8 bits per pixel is not supported: save it in colour.")
    if "progressive" in image.info and image.width * image.height * data.count(b"\xff\xda") > MAX_SCANNED_PIXELS:
        raise UnreadableImage("The JPEG has too many scans: save it again without the option `progressive`.")
    return image


def _check_heif_items(data: bytes) -> None:
    """Check the item entries of a HEIC: pillow-heif crashes the process if a type or name is not UTF-8.

    Raises ValueError.
    """
    for entry in re.finditer(b"infe", data):
        start = entry.start() - 4
        size = int.from_bytes(data[start : start + 4], "big")
        if size < 18:
            raise ValueError("the size of an item entry is missing or smaller than its required fields")
        if start + size <= len(data):  # otherwise these bytes are pixel data, not an entry
            data[start + (18 if data[start + 8] == 3 else 16) : start + size].decode()


def _webp_canvas(data: bytes) -> tuple[int, int]:
    """Return width and height of an extended WebP, or (0, 0) for the other kinds.

    Pillow allocates the canvas of an extended WebP when it opens the file. Other kinds take little memory to open.
    """
    if data[12:16] != b"VP8X":
        return 0, 0
    return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")


def _check_pixels(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise _too_large()


def _too_large() -> ImageTooLarge:
    return ImageTooLarge(f"The image has more than {MAX_PIXELS // 1_000_000} million pixels.")


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, or 1 (upright) if it is missing or EXIF is broken."""
    try:
        return int(image.getexif().get(0x0112, 1))
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, struct.error):
        return 1  # the pixels may still be intact


def _to_upright(image: Image.Image) -> Image.Image:
    image.load()
    transpose = _TRANSPOSES.get(_orientation(image))
    return image if transpose is None else image.transpose(transpose)


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """Return (width, height) of the upright image without decoding it."""
    return (image.height, image.width) if _orientation(image) in _SIDES_SWAPPED else image.size


def _to_rgb(image: Image.Image) -> Image.Image:
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
    image = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image)
    return white
