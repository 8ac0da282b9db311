"""HEIC and AVIF files: brands, sequences, and files that are made to crash the decoder or to exhaust the memory."""

from __future__ import annotations

import struct
from typing import Sequence

import pytest

from model import formats, photo
from model.decoding.heif_size import CodedSizes
from model.errors import ImageTooLarge, RecognitionError, UnreadableImage
from tests.model.images import ASTRONAUT, PIXELS, decode, difference, encoded, with_orientation

KINDS = ("HEIF", "AVIF")
HEIF_BRANDS = "heic heix heim heis hevc hevx hevm hevs mif1 mif2 msf1 miaf MiHA MiHB MiHE"
BRANDS = [*((brand, "HEIF") for brand in HEIF_BRANDS.split()), *((b, "AVIF") for b in ("avif", "avis", "MA1A", "MA1B"))]


def branded(data: bytes, major: str, compatible: Sequence[str]) -> bytes:
    """Replace the brands. There is room for three compatible ones."""
    assert data[:8] == b"\0\0\0\x1cftyp"
    brands = f"{major}\0\0\0\0{''.join(compatible)}{'none' * (3 - len(compatible))}"
    return data[:8] + brands.encode() + data[28:]


@pytest.mark.parametrize(("brand", "kind"), BRANDS)
def test_any_brand_tells_the_format(brand: str, kind: str) -> None:
    data = encoded(ASTRONAUT, kind)
    for major, compatible in ((brand, ()), ("none", (brand,)), ("none", ("isom", "mp42", brand)), (brand, (brand,))):
        changed = branded(data, major, compatible)
        assert formats.image_format(changed[: formats.HEAD_BYTES]) == kind
        assert difference(decode(changed), decode(data)) == 0


def test_other_brands_are_not_images() -> None:
    for brand in ("isom", "mp42", "qt  ", "crx ", "jp2 ", "avci", "dash", "\0\0\0\0"):
        assert formats.image_format(branded(encoded(ASTRONAUT, "HEIF"), brand, (brand, "iso8"))) is None


def test_brand_at_the_end_of_a_long_list() -> None:
    brands = b"none" * 100 + b"MiHE"
    head = struct.pack(">I", 16 + len(brands)) + b"ftypnone\0\0\0\0" + brands
    assert formats.image_format(head) == "HEIF"
    assert formats.image_format(head[:-4] + b"none" + b"heic" * 10) is None  # these are in the next box


@pytest.mark.parametrize("kind", KINDS)
def test_first_of_several_images(kind: str) -> None:
    others = [ASTRONAUT.rotate(90), PIXELS]
    data = encoded(ASTRONAUT, kind, save_all=True, append_images=others, quality=90)
    assert difference(decode(data), ASTRONAUT) < 5


def claiming(data: bytes, width: int, height: int) -> bytes:
    """Change the size that the container claims."""
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", width, height) + data[at + 8 :]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chroma", [420, 444])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_size_of_the_coded_image(mode: str, chroma: int, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The decoder allocates memory for it, whatever the container claims."""
    data = encoded(ASTRONAUT.resize((1203, 801)).convert(mode), kind, chroma=chroma)
    monkeypatch.setattr(photo, "MAX_PIXELS", 1_000_000)
    assert photo.decode(data).width == 1203
    monkeypatch.setattr(photo, "MAX_PIXELS", 700_000)
    for changed in (data, claiming(data, 100, 100)):
        with pytest.raises(ImageTooLarge):
            photo.decode(changed)


def box(kind: bytes, *content: bytes) -> bytes:
    return struct.pack(">I", 8 + sum(map(len, content))) + kind + b"".join(content)


def container(kind: bytes, data: bytes, *, extents: Sequence[tuple[int, int]], inline: bool) -> bytes:
    """A meta box with one item, which has data inside or in a following box."""
    entry = box(b"infe", b"\2\0\0\0\0\1\0\0", kind, b"\0")
    items = box(b"iinf", b"\0\0\0\0\0\1", entry)

    def meta(start: int) -> bytes:
        parts = b"".join(struct.pack(">II", start + at, length) for at, length in extents)
        location = struct.pack(">BBHHHHH", 0x44, 0, 1, 1, int(inline), 0, len(extents)) + parts
        return box(b"meta", bytes(4), items, box(b"iloc", b"\1\0\0\0", location), box(b"idat", data if inline else b""))

    start = 28 + len(meta(0)) + 8
    brands = b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicavif"
    return brands + (meta(0) if inline else meta(start) + box(b"mdat", data))


AV1 = b"\x12\0" + b"\x0a\x0b" + bytes([0, 0, 0, 7]) + b"\xff" * 7  # 65,536 x 65,536 pixels
GRID = b"\0\1\0\0" + struct.pack(">II", 60_000, 50_000)
OVERLAY = b"\0\0" + bytes(8) + struct.pack(">HH", 60_000, 50_000)


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize(("kind", "data"), [(b"av01", AV1), (b"grid", GRID), (b"iovl", OVERLAY)])
def test_sizes_of_all_items_are_checked(kind: bytes, data: bytes, inline: bool) -> None:
    half = len(data) // 2
    for extents in ([(0, len(data))], [(0, half), (half, len(data) - half)]):
        with pytest.raises(ImageTooLarge, match="52 million"):
            photo.decode(container(kind, data, extents=extents, inline=inline))
        with pytest.raises(UnreadableImage):  # because there is no image
            photo.decode(container(b"none", data, extents=extents, inline=inline))


def test_much_structure_takes_little_time() -> None:
    data = b"x" * 100_000
    many_boxes = b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicavif" + box(b"free") * 500_000
    overlapping = container(b"av01", data, extents=[(0, len(data))] * 60_000, inline=False)
    for file in (many_boxes, overlapping):
        with pytest.raises(UnreadableImage):
            photo.decode(file)
    with pytest.raises(ValueError, match="overlap"):
        CodedSizes(memoryview(overlapping), [(1, b"av01")])


@pytest.mark.parametrize("kind", KINDS)
def test_cut_anywhere(kind: str) -> None:
    """Only metadata may be missing at the end."""
    data = encoded(PIXELS, kind, exif=with_orientation(6)[1])
    for end in range(16, len(data), 7):
        try:
            found = decode(data[:end])
        except RecognitionError:
            continue
        assert difference(found, decode(data)) == 0


@pytest.mark.parametrize(
    ("before", "after"), [(b"Exif\0", b"E\xccif\0"), (b"\x15infe", b"\x01infe"), (b"\x15infe", b"\0infe")]
)
@pytest.mark.parametrize("kind", KINDS)
def test_broken_item_entries(kind: str, before: bytes, after: bytes) -> None:
    """pillow-heif 0.18 crashes with a segmentation fault."""
    data = encoded(ASTRONAUT, kind, exif=with_orientation(1)[1])
    assert before in data
    with pytest.raises(UnreadableImage):
        decode(data.replace(before, after, 1))


def test_grey_heic_with_a_wrong_bit_depth() -> None:
    """pillow-heif 0.18 corrupts memory if the header claims more bits than there are."""
    data = bytearray(encoded(ASTRONAUT.convert("L"), "HEIF"))
    assert decode(bytes(data)).size == ASTRONAUT.size
    depth = data.index(b"hvcC") + 4 + 17
    assert data[depth] == 0xF8
    data[depth] = 0xFE  # 14 bits
    with pytest.raises(UnreadableImage, match="grey HEIC"):
        decode(bytes(data))
