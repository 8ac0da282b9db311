"""Read JPEG files, whole or cut short: their header, and their pixels at a fraction of the resolution."""

from __future__ import annotations

import io
import random
import re
from typing import Iterator, NamedTuple, Sequence

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from model.errors import ImageTooLarge, UnreadableImage

DIVISORS = (1, 2, 4, 8)  # of both sides, at which libjpeg decodes
# Bytes of the coefficients that libjpeg holds before it returns pixels, if a file has several scans. A progressive JPEG
# of 108 million pixels takes 324 MB, or 650 MB if its colours have the full resolution.
MAX_COEFFICIENTS = 350_000_000
# Pixels x scans: decoding time is proportional to them, and a scan needs few bytes.
MAX_SCANNED_PIXELS = 2_000_000_000  # about 1.5 s
MAX_SEGMENTS = 100_000  # 0.1 s in Python: an ICC profile of 25 MB has 400
MIN_SHARE = 0.98  # of the pixels that a file must have if it is cut short

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_APP0, _APP1, _APP14, _APP15, _COMMENT, _SOS = 0xE0, 0xE1, 0xEE, 0xEF, 0xFE, 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # those are tables
# The next marker that is followed by a segment. In pixel data 0xFF is followed by 0 or a restart marker.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]", re.DOTALL)
_RESTART_INTERVAL = 100_000  # bytes; the restart marker before the end is searched in them
_RESTART = re.compile(rb"\xff([\xd0-\xd7])")
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_ZEROS = 32  # bytes of 0 at the end of a file from which they are an unfinished download, not pixel data


class Segment(NamedTuple):
    """A segment of a file. start, end: of its content, after the length."""

    marker: int
    start: int
    end: int


class Frame(NamedTuple):
    """The start of frame. sampling: horizontal and vertical factor of each component."""

    marker: int
    width: int
    height: int
    sampling: Sequence[tuple[int, int]]

    @classmethod
    def parse(cls, marker: int, content: bytes) -> Frame:
        """Parse the content of the segment. Raises IndexError."""
        height, width = int.from_bytes(content[1:3], "big"), int.from_bytes(content[3:5], "big")
        factors = [content[at] for at in range(7, 7 + 3 * content[5], 3)]
        return cls(marker, width, height, [(factor >> 4, factor & 15) for factor in factors])

    @property
    def progressive(self) -> bool:
        return self.marker & 3 == 2

    @property
    def lossless(self) -> bool:
        return self.marker & 3 == 3

    @property
    def unit(self) -> tuple[int, int]:
        """Columns and rows of blocks of 8 x 8 pixels that are encoded together."""
        if len(self.sampling) == 1:
            return 1, 1
        return max(across for across, _ in self.sampling), max(down for _, down in self.sampling)

    @property
    def coefficients(self) -> int:
        """Bytes that the coefficients of all components take."""
        across, down = self.unit
        units = -(-self.width // (8 * across)) * -(-self.height // (8 * down))
        return 128 * units * (1 if len(self.sampling) == 1 else sum(h * v for h, v in self.sampling))

    def is_complete(self, scans: Sequence[bytes]) -> bool:
        """Tell whether scans have all bits of all coefficients. scans: their headers."""
        known: set[tuple[int, int]] = set()  # component and number of the coefficient
        for scan in scans:
            first, last, bits = scan[-3:] if self.progressive else (0, 63, 0)
            if bits & 15 == 0:
                known.update((scan[at], k) for at in range(1, 2 * scan[0], 2) for k in range(first, last + 1))
        return len(known) == 64 * len(self.sampling)

    def share_before(self, differs: np.ndarray, divisor: int) -> float:
        """Return the share of pixels that precede the first one that differs, in the order in which they are encoded.

        differs: bool [H, W], of an image whose sides are divided by `divisor`.
        """
        across, down = (8 * blocks // divisor for blocks in self.unit)
        rows = np.flatnonzero(differs.any(axis=1))
        if not len(rows):
            return 1.0
        top = rows[0] // down * down
        left = np.flatnonzero(differs[top : top + down].any(axis=0))[0] // across * across
        begun = min(down * divisor, self.height - top * divisor)  # rows that are encoded together with the first one
        return float(divisor * (top * self.width + left * begun) / (self.width * self.height))


class Jpeg:
    """A JPEG file without its metadata.

    exif, xmp: content of the metadata, may be broken. truncated: the file ends before its end marker.
    """

    def __init__(self, data: bytes) -> None:
        """Read the header. Raises UnreadableImage, ValueError and IndexError."""
        self._data, self.truncated, self.xmp = data, False, b""
        frame, kept, exif = None, [_SOI], []
        for segment in _segments(data):
            marker, start, end = segment
            content = data[start:end]
            if marker == _APP1 and content.startswith(_EXIF):
                exif.append(content[len(_EXIF) :])
            elif marker == _APP1 and content.startswith(_XMP):
                self.xmp = self.xmp or content[len(_XMP) :]
            elif not _is_metadata(marker, content):  # Pillow refuses some broken metadata
                kept.append(bytes((0xFF, marker)) + data[start - 2 : end])
            if marker in _FRAMES:
                frame = Frame.parse(marker, content)
            if marker == _SOS:
                break
        if frame is None or marker != _SOS:
            raise ValueError("the file has no pixels")
        self.exif, self._frame = b"".join(exif), frame
        self._head, self._first_scan, self._pixels = b"".join(kept), segment, end

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as stored."""
        return self._frame.width, self._frame.height

    @property
    def divisors(self) -> tuple[int, ...]:
        """The divisors of both sides at which the file can be decoded."""
        # libjpeg ignores the divisor of a lossless JPEG and then writes beyond Pillow's buffer.
        return DIVISORS if len(self._frame.sampling) in (1, 3) and not self._frame.lossless else (1,)

    def check(self) -> None:
        """Check the scans and the end of the file. Raises UnreadableImage, ImageTooLarge and ValueError."""
        if self._frame.progressive or self._data[self._first_scan.start] < len(self._frame.sampling):
            if self._frame.coefficients > MAX_COEFFICIENTS:
                raise ImageTooLarge("The JPEG has too many pixels to be progressive: save it without that option.")
            if self._frame.width * self._frame.height * len(self._scans()) > MAX_SCANNED_PIXELS:
                raise UnreadableImage("The JPEG has too many scans: save it again without the option `progressive`.")
        self.truncated = self._data.rfind(_EOI, self._pixels) < 0
        if self.truncated:
            self._data = self._completed()

    def decode(self, divisor: int) -> Image.Image:
        """Decode the pixels with both sides divided by one of `divisors`. Raises any error of Pillow."""
        return self._decode(self._data, divisor)

    def _scans(self) -> list[bytes]:
        """Return the header of each scan."""
        following = _segments(self._data, self._pixels)
        return [self._data[each.start : each.end] for each in (self._first_scan, *following) if each.marker == _SOS]

    def _completed(self) -> bytes:
        """Return the file, which is cut short, with an end marker. Raises ValueError if too much is missing."""
        present = self._data.rstrip(b"\0")
        if len(self._data) - len(present) < _ZEROS:
            present = self._data
        present = present[:-1] if present.endswith(b"\xff") else present  # half a marker
        if (
            self._frame.lossless  # its share cannot be measured at a fraction
            or not self._frame.is_complete(self._scans())
            or self._share(present) < MIN_SHARE
        ):
            raise ValueError("too much of the file is missing")
        return present + _EOI

    def _share(self, present: bytes) -> float:
        """Measure how much of the last scan is present, in [0, 1].

        libjpeg makes up missing pixels. They begin where the image depends on the bytes that follow the present ones.
        """
        # At 1/8 a pixel is the mean of a block, which only the first scan of a progressive JPEG has.
        divisor = 4 if self._frame.progressive else 8
        restarts = _RESTART.findall(present, max(self._pixels, len(present) - _RESTART_INTERVAL))
        number = restarts[-1][0] + 1 if restarts else 0  # of the restart marker that libjpeg may wait for
        markers = [b"", *(bytes((0xFF, 0xD0 | each & 7)) for each in range(number, number + 8))]
        generator = random.Random(0)  # of bytes without 0xFF, which would be a marker
        noise = b"".join(marker + bytes(generator.choices(range(255), k=500)) for marker in markers) + _EOI
        grey, noisy = (np.asarray(self._decode(present + end, divisor)) for end in (_EOI, noise))
        differs = (grey != noisy).reshape(*grey.shape[:2], -1).any(axis=2)
        return self._frame.share_before(differs, divisor)

    def _decode(self, data: bytes, divisor: int) -> Image.Image:
        image = JpegImageFile(io.BytesIO(self._head))  # `Image.open` would refuse more than 179 million pixels
        image.fp = _Spliced(self._head, data, self._pixels)  # slower to parse the header from
        if divisor > 1:
            image.draft(image.mode, (max(1, image.width // divisor), max(1, image.height // divisor)))
        image.load()
        return image


class _Spliced:
    """A file to read that has another beginning. A copy of a large photo would take milliseconds."""

    def __init__(self, head: bytes, data: bytes, start: int) -> None:
        """head: replaces the first `start` bytes of `data`."""
        self._head, self._data, self._start = head, data, start
        self._at = 0

    def read(self, size: int) -> bytes:
        found = self._head[self._at : self._at + size]
        start = max(0, self._at - len(self._head)) + self._start
        found += self._data[start : start + size - len(found)]
        self._at += len(found)
        return found

    def seek(self, at: int) -> None:
        self._at = at


def _segments(data: bytes, at: int = 2) -> Iterator[Segment]:
    """Find the segments from a position on, up to the end marker, as libjpeg does. Raises UnreadableImage."""
    for _ in range(MAX_SEGMENTS):
        found = _MARKER.search(data, at)
        if found is None or found[0] in (_SOI, _EOI):
            return
        start = found.end()
        at = start + max(2, int.from_bytes(data[start : start + 2], "big"))
        yield Segment(found[0][1], start + 2, at)
    raise UnreadableImage("The JPEG has too many segments: save it again.")


def _is_metadata(marker: int, content: bytes) -> bool:
    """Tell whether a segment can be left out. JFIF and Adobe, as libjpeg recognizes them, tell the colour space."""
    if marker == _APP0:
        return not (content.startswith(b"JFIF\0") and len(content) >= 14)
    if marker == _APP14:
        return not (content.startswith(b"Adobe") and len(content) >= 12)
    return _APP0 < marker <= _APP15 or marker == _COMMENT
