"""Decode image files to upright RGB photos. Training and serving share this code."""

from __future__ import annotations

import functools
import hashlib
import importlib
import io
import warnings
from contextlib import contextmanager
from typing import Callable, Iterator, Sequence

from PIL import Image

from model.decoding.chunks import Pixels, gif_pixels, png_pixels, webp_canvas, webp_pixels
from model.decoding.heif import open_heif
from model.decoding.jpeg import Jpeg
from model.decoding.pixels import SIDES_SWAPPED, UPRIGHT, orientation, to_rgb, to_upright
from model.errors import ImageTooLarge, RecognitionError, UnreadableImage, UnsupportedImage
from model.formats import HEAD_BYTES, image_format

# The most pixels of a decoded image: 208 MB in Pillow, which stores RGB in 4 bytes per pixel. Some "50 megapixel"
# cameras have 51.3 million.
MAX_PIXELS = 52_000_000
# A JPEG with more than MAX_PIXELS is decoded at a fraction of its resolution. "200 megapixels" are up to 201.4 million.
MAX_JPEG_PIXELS = 208_000_000
PREVIEW_SIDE = 640  # pixels: a preview's longer side is at least this long, if the photo's is
DIGEST_ROWS = 64  # that are hashed at a time, to save memory


class Photo:
    """An upright RGB photo of `width` x `height` pixels, decoded only at the resolution that is asked for.

    A large JPEG is also available at 1/2, 1/4 or 1/8 of its resolution, for a fraction of the time and memory. One with
    more than MAX_PIXELS is available only there. truncated: the file is cut short, by 2 % of the pixels at most, and
    those are grey.
    """

    def __init__(
        self,
        size: tuple[int, int],
        read: Callable[[int], Image.Image],
        divisors: Sequence[int] = (1,),
        truncated: bool = False,
    ) -> None:
        """Create a photo from a decoder.

        size: (width, height) at full resolution. read: decodes the photo with both sides divided by one of `divisors`,
        which ascend, and returns an RGB image.
        """
        self.width, self.height = size
        self.truncated = truncated
        self._divisors = divisors
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

        scale: 1, or anything above, is full resolution. If that is not available, the highest that is. Earlier calls do
        not change the result.

        Raises UnreadableImage.
        """
        finest = self._divisors[0]
        return self._read(max(d for d in self._divisors if d == finest or d * scale <= 1))

    def digest(self) -> str:
        """Return 16 hex digits of the SHA-256 of size and pixels. Collections recognize photos by it.

        The pixels are those of the highest available resolution. Raises UnreadableImage.
        """
        image = self.at_scale()
        found = hashlib.sha256(repr((self.width, self.height)).encode())
        for top in range(0, image.height, DIGEST_ROWS):
            found.update(image.crop((0, top, image.width, min(top + DIGEST_ROWS, image.height))).tobytes())
        return found.hexdigest()[:16]


def decode(data: bytes) -> Photo:
    """Decode an image file to an upright photo, RGB, 8 bits per channel.

    EXIF orientation is applied, or else that of XMP, and that of the container of a HEIC or AVIF. An animation gives
    its first frame. Transparent pixels become white. Colour profiles are not applied.

    Raises UnsupportedImage, UnreadableImage or ImageTooLarge.
    """
    file_format = image_format(data[:HEAD_BYTES])
    if file_format is None:
        raise UnsupportedImage("The file is not an image that can be read here: JPEG, PNG, WebP, GIF, HEIC or AVIF.")
    with _pillow_errors_converted():
        if file_format == "JPEG":
            return _jpeg_photo(Jpeg(data))
        return Photo.of(_decoded(data, file_format))


def _jpeg_photo(jpeg: Jpeg) -> Photo:
    """Check a JPEG and return its photo. Raises UnreadableImage, ImageTooLarge and any error of Pillow."""
    width, height = jpeg.size
    # The preview is decoded first and cached, so a resolution below it would only cost a second decoding.
    useful = [d for d in jpeg.divisors if d == 1 or max(width, height) >= d * PREVIEW_SIDE]
    available = [d for d in useful if width * height <= d * d * MAX_PIXELS]
    if not available or width * height > MAX_JPEG_PIXELS:
        raise _too_large(MAX_JPEG_PIXELS if len(jpeg.divisors) > 1 else MAX_PIXELS)
    jpeg.check()
    turn = orientation(jpeg.exif, jpeg.xmp)

    def read(divisor: int) -> Image.Image:
        with _pillow_errors_converted():
            image = to_upright(jpeg.decode(divisor), turn)
            return image if image.mode == "RGB" else to_rgb(image)  # a copy would double the memory

    photo = Photo((height, width) if turn in SIDES_SWAPPED else (width, height), read, available, jpeg.truncated)
    photo.preview()  # finds damage, which shows at any resolution
    return photo


def _decoded(data: bytes, file_format: str) -> Image.Image:
    """Decode a file of another format to an upright RGB image.

    Raises ImageTooLarge, UnreadableImage and any error of Pillow.
    """
    turn = UPRIGHT
    if file_format in ("HEIF", "AVIF"):
        image = open_heif(data, _check_pixels)  # which libheif turns upright
    else:
        pixels = _pixels(data, file_format)
        turn, image = orientation(pixels.exif, pixels.xmp), Image.open(io.BytesIO(pixels.data), formats=(file_format,))
    _check_pixels(*image.size)
    image.load()
    image = to_rgb(image)  # releases the decoder, whose buffers may be larger than the image
    return to_upright(image, turn)


def _pixels(data: bytes, file_format: str) -> Pixels:
    """Return a PNG, WebP or GIF without its metadata. Raises ImageTooLarge, UnreadableImage, IndexError."""
    if file_format == "PNG":
        return png_pixels(data)
    if file_format == "GIF":
        return gif_pixels(data)
    # Without this import Pillow imports all its plugins to find the one for WebP.
    importlib.import_module("PIL.WebPImagePlugin")
    _check_pixels(*webp_canvas(data))
    return webp_pixels(data)


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
            raise _too_large(MAX_PIXELS) from error
        except Exception as error:  # Pillow raises nearly any class for a damaged file
            raise UnreadableImage("The image is damaged, truncated or in a rare variant of its format.") from error


def _check_pixels(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise _too_large(MAX_PIXELS)


def _too_large(limit: int) -> ImageTooLarge:
    return ImageTooLarge(f"The image has more than {limit // 1_000_000} million pixels.")
