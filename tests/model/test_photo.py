from __future__ import annotations

import io
import re
import struct
import subprocess
import sys
import warnings
import zlib
from typing import Callable

import numpy as np
import pytest
from PIL import Image, ImageChops

from model import photo
from model.errors import ImageTooLarge, UnreadableImage, UnsupportedImage
from model.photo import Photo
from testing.paths import ROOT, SAMPLES

ORIENTATION = 0x0112


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    if kind == "HEIF":
        from pillow_heif import register_heif_opener

        register_heif_opener()
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decode(data: bytes) -> Image.Image:
    """In full."""
    return photo.decode(data).view()


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB")).astype(int)


def difference(a: Image.Image, b: Image.Image) -> float:
    """The mean over pixels and channels, of 255."""
    return float(np.abs(pixels(a) - pixels(b)).mean())


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PIXELS = Image.fromarray(np.random.RandomState(0).randint(0, 256, (20, 30, 3)).astype(np.uint8))
ASTRONAUT = Image.open(SAMPLES / "astronaut.jpg").convert("RGB").resize((96, 96))
UPRIGHT = ASTRONAUT.resize((64, 96))
KINDS = ["JPEG", "PNG", "WEBP", "GIF", "HEIF"]


@pytest.mark.parametrize(
    ("kind", "options", "most"),
    [
        ("JPEG", {"quality": 95}, 4),
        ("JPEG", {"quality": 95, "progressive": True}, 4),
        ("PNG", {}, 0),
        ("WEBP", {"quality": 95}, 4),
        ("WEBP", {"lossless": True}, 0),
        ("GIF", {}, 12),
        ("HEIF", {"quality": 95}, 4),
    ],
)
def test_formats(kind: str, options: dict[str, object], most: float) -> None:
    image = decode(encoded(ASTRONAUT, kind, **options))
    assert (image.mode, image.size) == ("RGB", (96, 96))
    assert difference(image, ASTRONAUT) <= most


@pytest.mark.parametrize(
    ("mode", "kind", "most"),
    [("L", "PNG", 0), ("L", "JPEG", 5), ("L", "HEIF", 3), ("P", "PNG", 0), ("1", "PNG", 0), ("LA", "PNG", 0)],
)
def test_other_modes_become_rgb(mode: str, kind: str, most: float) -> None:
    image = ASTRONAUT.convert(mode)
    assert decode(encoded(image, kind)).mode == "RGB"
    assert difference(decode(encoded(image, kind)), image) <= most


def test_cmyk_of_either_kind() -> None:
    """Adobe's are inverted and say so in a segment of their own."""
    cmyk = ASTRONAUT.convert("CMYK")
    adobe = encoded(cmyk, "JPEG", quality=95)
    assert difference(decode(adobe), ASTRONAUT) < 3
    inverted = encoded(ImageChops.invert(cmyk), "JPEG", quality=95)
    start = inverted.index(b"\xff\xee")
    plain = inverted[:start] + inverted[start + 2 + int.from_bytes(inverted[start + 2 : start + 4], "big") :]
    assert difference(decode(plain), ASTRONAUT) < 3


def test_sixteen_bits_of_grey_are_scaled() -> None:
    """Pillow alone makes everything over 255 of 65,535 white."""
    ramp = np.linspace(0, 65_535, 600).reshape(20, 30).astype(np.uint16)
    found = np.asarray(decode(encoded(Image.fromarray(ramp))))[..., 0]
    assert np.array_equal(found, ramp >> 8)


def test_sixteen_bits_of_colour() -> None:
    rows = b"".join(b"\0" + struct.pack(">HHH", 65_535, 32_768, 0) * 4 for _ in range(3))
    ihdr = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 3, 16, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + ihdr + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert np.array_equal(np.unique(pixels(decode(data)).reshape(-1, 3), axis=0), [[255, 128, 0]])


def paletted() -> bytes:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(0, (0, 0, 2, 4))
    return encoded(image, "PNG", transparency=0)


def with_alpha(kind: str, **options: object) -> bytes:
    image = Image.new("RGBA", (4, 4), (0, 0, 255, 255))
    image.paste((255, 0, 0, 0), (0, 0, 2, 4))
    return encoded(image, kind, **options)


def colour_keyed() -> bytes:
    image = Image.new("RGB", (4, 4), (0, 0, 255))
    image.paste((255, 0, 0), (0, 0, 2, 4))
    return encoded(image, "PNG", transparency=(255, 0, 0))


@pytest.mark.parametrize(
    "data",
    [
        paletted(),
        colour_keyed(),
        with_alpha("PNG"),
        with_alpha("WEBP", lossless=True, exact=True),
        with_alpha("GIF"),
        with_alpha("HEIF", quality=-1, chroma=444),
    ],
)
def test_what_is_transparent_is_white(data: bytes) -> None:
    """Here the transparent pixels are red underneath."""
    found = pixels(decode(data))
    assert (found[:, :2] >= 254).all()
    assert np.abs(found[:, 2:] - (0, 0, 255)).max() <= 2


def test_half_transparent() -> None:
    found = pixels(decode(encoded(Image.new("RGBA", (2, 2), (0, 0, 0, 128)))))
    assert np.abs(found - 127).max() <= 1


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_first_frame_of_an_animation(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("blue", "red", "lime")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=100, **options)
    assert difference(decode(data), frames[0]) == 0


def turned(orientation: int, upright: Image.Image = UPRIGHT) -> tuple[Image.Image, bytes]:
    """UPRIGHT as a camera held that way stores them, and its EXIF."""
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return upright.transpose(turns[orientation]) if orientation in turns else upright, exif.tobytes()


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG", "HEIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_exif_orientations_end_upright(orientation: int, kind: str) -> None:
    stored, exif = turned(orientation)
    options: dict[str, dict[str, object]] = {
        "WEBP": {"lossless": True},
        "HEIF": {"quality": -1, "chroma": 444},
        "JPEG": {"quality": 100},
    }
    image = decode(encoded(stored, kind, exif=exif, **options.get(kind, {})))
    assert image.size == UPRIGHT.size
    assert difference(image, UPRIGHT) <= (8 if kind == "JPEG" else 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_large_jpeg_is_decoded_no_finer_than_it_is_looked_at(orientation: int) -> None:
    upright = ASTRONAUT.resize((1301, 1951), Image.Resampling.BICUBIC)
    stored, exif = turned(orientation, upright)
    found = photo.decode(encoded(stored, "JPEG", exif=exif))
    assert (found.width, found.height, found.longer) == (1301, 1951, 1951)
    assert found.view().size == found.view(0.51).size == found.view(7).size == upright.size
    for scale in (0.5, 0.3, 0.01):
        assert found.view(scale).size == found.preview().size == (651, 976)
    assert difference(found.preview(), upright.resize((651, 976), Image.Resampling.BOX)) < 2
    for side, divisor in ((639, 1), (640, 1), (1279, 1), (1280, 2), (2560, 4), (5120, 8), (6000, 8)):
        assert photo.decode(encoded(upright.resize((side, 10)), "JPEG")).preview().width == side / divisor


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "RGB"), ("WEBP", "RGB"), ("JPEG", "CMYK")])
def test_other_kinds_are_always_seen_in_full(kind: str, mode: str) -> None:
    image = ASTRONAUT.convert(mode).resize((2000, 100))
    assert photo.decode(encoded(image, kind)).view(0.01).size == Photo.of(image).view(0.01).size == (2000, 100)


@pytest.mark.parametrize("part", [0.5, 0.9, 0.99])
def test_a_large_jpeg_cut_short(part: float) -> None:
    data = encoded(ASTRONAUT.resize((3000, 2000)), "JPEG")
    with pytest.raises(UnreadableImage, match="damaged or cut short"):
        photo.decode(data[: int(part * len(data))])


@pytest.mark.parametrize("orientation", [0, 9, 65_535])
def test_orientation_that_there_is_not(orientation: int) -> None:
    _, exif = turned(orientation)
    assert difference(decode(encoded(UPRIGHT, exif=exif)), UPRIGHT) == 0


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0junk", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*"])
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_broken_exif_leaves_the_photo_as_it_is(exif: bytes, kind: str) -> None:
    assert difference(decode(encoded(ASTRONAUT, kind, exif=exif)), ASTRONAUT) < 8


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "HEIF"])
@pytest.mark.parametrize("profile", [b"junk", b"\0" * 128, b"\xff" * 3000], ids=len)
def test_broken_colour_profile_leaves_the_photo_as_it_is(kind: str, profile: bytes) -> None:
    assert difference(decode(encoded(ASTRONAUT, kind, icc_profile=profile)), ASTRONAUT) < 8


@pytest.mark.parametrize("data", [b"", b"not an image", b"\xff\xd8", b"%PDF-1.7\n" + encoded(PIXELS, "JPEG"), b"II*\0"])
def test_not_an_image(data: bytes) -> None:
    """What it is is said by its first bytes, whatever follows."""
    with pytest.raises(UnsupportedImage, match="JPEG, PNG, WebP, GIF or HEIC"):
        decode(data)


@pytest.mark.parametrize(
    "header", [b"GIF89a", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"\0\0\0\x1cftypheic"]
)
def test_header_and_then_nothing_or_junk(header: bytes) -> None:
    for rest in (b"", b"\0" * 50, b"\xff" * 5000):
        with pytest.raises((UnreadableImage, ImageTooLarge)):
            decode(header + rest)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", [0.02, 0.1, 0.3, 0.5, 0.7, 0.9])
def test_cut_short(kind: str, part: float) -> None:
    data = encoded(PIXELS.resize((300, 200)), kind)
    with pytest.raises(UnreadableImage, match="damaged or cut short"):
        decode(data[: int(part * len(data))])


@pytest.mark.parametrize("kind", KINDS)
def test_photo_with_another_file_behind_it(kind: str) -> None:
    data = encoded(ASTRONAUT, kind)
    assert difference(decode(data + b"PK\x03\x04" + b"\0" * 1000), decode(data)) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_pixel_limit_holds_on_both_sides(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo, "MAX_PIXELS", 600)
    assert decode(encoded(PIXELS, kind)).size == (30, 20)
    with pytest.raises(ImageTooLarge):
        decode(encoded(PIXELS.resize((31, 20)), kind))


def huge_png(side: int) -> bytes:
    rows = zlib.compress(bytes((side // 8 + 1) * side), 1)
    ihdr = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + ihdr + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def huge_gif(side: int) -> bytes:
    data = encoded(PIXELS, "GIF")
    return data[:6] + struct.pack("<HH", side, side) + data[10:]


def huge_webp(side: int) -> bytes:
    extended = b"VP8X" + struct.pack("<I", 10) + b"\0" * 4 + 2 * struct.pack("<I", side - 1)[:3]
    rest = extended + encoded(PIXELS, "WEBP")[12:]
    return b"RIFF" + struct.pack("<I", 4 + len(rest)) + b"WEBP" + rest


def huge_heic(side: int) -> bytes:
    data = encoded(ASTRONAUT, "HEIF")
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", side, side) + data[at + 8 :]


def huge_jpeg(side: int) -> bytes:
    data = encoded(PIXELS, "JPEG")
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", side, side) + data[at + 4 :]


@pytest.mark.parametrize("side", [8_000, 10_000, 30_000])  # over our limit, over Pillow's warning, over its error
@pytest.mark.parametrize("bomb", [huge_png, huge_gif, huge_webp, huge_heic, huge_jpeg])
def test_decompression_bomb(bomb: Callable[[int], bytes], side: int) -> None:
    with warnings.catch_warnings(record=True) as leaked:
        warnings.simplefilter("always")
        with pytest.raises(ImageTooLarge, match="50 million pixels"):
            decode(bomb(side))
    assert not leaked


def test_remarks_of_pillow_do_not_leak() -> None:
    """Here one about the extension of a TIFF directory in EXIF that is too short."""
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x00\x01\x04\0\x40\0\0\0\xff\0\0\0"
    with warnings.catch_warnings(record=True) as leaked:
        warnings.simplefilter("always")
        decode(encoded(PIXELS, "JPEG", exif=exif))
    assert not leaked


def test_many_scans_are_refused_before_they_are_decoded() -> None:
    """A scan takes 75 bytes of a large image in one colour, and as long as the pixels take."""
    data = encoded(Image.new("RGB", (2000, 2000), "gray"), "JPEG", progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    assert decode(data[:-2] + 10 * scan + b"\xff\xd9").size == (2000, 2000)
    with pytest.raises(UnreadableImage, match="too many scans"):
        decode(data[:-2] + 500 * scan + b"\xff\xd9")


def commented_gif(comments: int) -> bytes:
    data = encoded(Image.new("L", (2, 2)), "GIF")
    at = 13 + 3 * 2 ** ((data[10] & 7) + 1)
    return data[:at] + b"\x21\xfe\x01x\x00" * comments + data[at:]


def jpeg_with_exif_in_pieces(pieces: int) -> bytes:
    data = encoded(PIXELS, "JPEG")
    return data[:2] + b"\xff\xe1\x00\x09Exif\0\0x" * pieces + data[2:]


@pytest.mark.parametrize(("make", "most"), [(commented_gif, 1000), (jpeg_with_exif_in_pieces, 100)])
def test_many_pieces_are_refused(make: Callable[[int], bytes], most: int) -> None:
    """4 MB of them take Pillow 5 to 20 seconds."""
    decode(make(most))
    with pytest.raises(UnreadableImage, match="too many comments"):
        decode(make(most + 1))


@pytest.mark.parametrize(
    ("before", "after"), [(b"Exif\0", b"E\xccif\0"), (b"\x15infe", b"\x01infe"), (b"\x15infe", b"\0infe")]
)
def test_heic_with_names_that_are_no_text(before: bytes, after: bytes) -> None:
    """pillow-heif 0.18 ends with a segmentation fault over them."""
    data = encoded(ASTRONAUT, "HEIF", exif=turned(1)[1])
    assert before in data
    with pytest.raises(UnreadableImage):
        decode(data.replace(before, after, 1))


def test_grey_heic_that_claims_more_bits_than_it_has() -> None:
    """pillow-heif 0.18 corrupts memory over it."""
    data = bytearray(encoded(ASTRONAUT.convert("L"), "HEIF"))
    assert decode(bytes(data)).size == ASTRONAUT.size
    depth = data.index(b"hvcC") + 4 + 17
    assert data[depth] == 0xF8
    data[depth] = 0xFE  # 14 bits
    with pytest.raises(UnreadableImage, match="grey HEIC"):
        decode(bytes(data))


def test_heic_is_imported_only_for_heic() -> None:
    code = f"""
import sys
from model.photo import decode
decode({encoded(PIXELS, "WEBP")!r})
before = [name for name in ("pillow_heif", "PIL.IcoImagePlugin") if name in sys.modules]
decode({encoded(PIXELS, "HEIF")!r})
print(before, "pillow_heif" in sys.modules)
"""
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[] True"


def test_the_page_takes_for_heic_what_is_heic_here() -> None:
    brands = re.search(r"ftyp(\(.*?\))", (ROOT / "web" / "photo.js").read_text())
    assert brands
    assert brands[1].encode() in photo._SIGNATURES["HEIF"].pattern
