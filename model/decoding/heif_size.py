"""Find the sizes of the images inside a HEIC or AVIF, for which the decoder allocates memory.

They may differ from the size that the container claims: an AVIF of 3 KB could take 4 GB.
Boxes: ISO/IEC 14496-12 and 23008-12. Pixels: ITU-T H.265 (HEVC) and "AV1 Bitstream & Decoding Process Specification".
"""

from __future__ import annotations

from typing import Iterable, Iterator, Sequence

MAX_UNITS = 100_000  # boxes, extents of items and units of pixel data in a file: a phone's HEIC has about 300
_SPS, _SEQUENCE_HEADER = 33, 1  # types of the units that have a size, in HEVC and AV1
_HEADER = 200  # bytes of such a unit in which the size is


class CodedSizes:
    """The sizes in a file. found: width and height of each coded image and each canvas that images are put on."""

    def __init__(self, file: memoryview, types: Iterable[tuple[int, bytes]]) -> None:
        """types: IDs of the items and their types. Raises ValueError and IndexError."""
        self.found: list[tuple[int, int]] = []
        self._file, self._types, self._units, self._joined = file, frozenset(types), 0, 0
        for kind, content in self._boxes(file):
            if kind == b"meta":
                self._read_meta(content[4:])

    def _read_meta(self, meta: memoryview) -> None:
        boxes = list(self._boxes(meta))
        inline = [content for kind, content in boxes if kind == b"idat"]
        for kind, content in boxes:
            if kind == b"iloc":
                for item, data in self._items(content, inline[0] if inline else memoryview(b"")):
                    self._read_item(item, data)
            for container, properties in self._boxes(content) if kind == b"iprp" else ():
                for name, configuration in self._boxes(properties) if container == b"ipco" else ():
                    if name == b"av1C":
                        self._read_av1(configuration[4:])
                    if name == b"hvcC":
                        self._read_configuration(configuration)

    def _items(self, box: memoryview, inline: memoryview) -> Iterator[tuple[int, memoryview]]:
        """Read the item locations. -> ID and data of each item."""
        version, numbers = box[0], _Numbers(box[4:])
        lengths, more = numbers.read(1), numbers.read(1)
        offset_size, length_size, base_size = lengths >> 4, lengths & 15, more >> 4
        index_size = more & 15 if version else 0
        for _ in range(numbers.read(4 if version == 2 else 2)):
            item = numbers.read(4 if version == 2 else 2)
            method = numbers.read(2) & 15 if version else 0
            numbers.read(2)  # the other file, if it is not this one
            source, base, parts = inline if method else self._file, numbers.read(base_size), []
            for _ in range(numbers.read(2)):
                self._count()
                numbers.read(index_size)
                start, length = base + numbers.read(offset_size), numbers.read(length_size)
                parts.append(source[start : start + length if length else None])
            yield item, parts[0] if len(parts) == 1 else self._join(parts)

    def _join(self, parts: Sequence[memoryview]) -> memoryview:
        """Join the extents of an item. Those of all items may not be larger than the file."""
        self._joined += sum(map(len, parts))
        if self._joined > len(self._file):
            raise ValueError("the extents of items overlap")
        return memoryview(b"".join(parts))

    def _read_item(self, item: int, data: memoryview) -> None:
        if (item, b"av01") in self._types:
            self._read_av1(data)
        if (item, b"hvc1") in self._types:
            at = 0
            while at + 4 <= len(data):
                size = _integer(data[at : at + 4])
                self._read_hevc(data[at + 4 : at + 4 + size])
                at += 4 + size
        if (item, b"grid") in self._types or (item, b"iovl") in self._types:
            numbers, size = _Numbers(data[1:]), 4 if data[1] & 1 else 2
            numbers.read(3 if (item, b"grid") in self._types else 9)  # flags, then rows and columns, or a colour
            self.found.append((numbers.read(size), numbers.read(size)))

    def _read_configuration(self, configuration: memoryview) -> None:
        """Read the arrays of units in an HEVC configuration."""
        numbers = _Numbers(configuration[22:])
        for _ in range(numbers.read(1)):
            numbers.read(1)
            for _ in range(numbers.read(2)):
                self._read_hevc(numbers.take(numbers.read(2)))

    def _read_hevc(self, unit: memoryview) -> None:
        self._count()
        if len(unit) > 2 and unit[0] >> 1 & 63 == _SPS and unit[1] < 8:  # the first layer, which alone is decoded
            self.found.append(_hevc_size(bytes(unit[2:_HEADER])))

    def _read_av1(self, data: memoryview) -> None:
        numbers = _Numbers(data)
        while numbers.left:
            self._count()
            head = numbers.read(1)
            numbers.read(head >> 2 & 1)  # extension
            unit = numbers.take(numbers.leb128() if head & 2 else numbers.left)
            if head >> 3 & 15 == _SEQUENCE_HEADER:
                self.found.append(_av1_size(bytes(unit[:_HEADER])))

    def _boxes(self, data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
        """Walk over boxes. -> kind and content of each."""
        at = 0
        while at + 8 <= len(data):
            self._count()
            size, head = _integer(data[at : at + 4]), 8
            if size == 1:
                size, head = _integer(data[at + 8 : at + 16]), 16
            end = at + (size or len(data))
            yield bytes(data[at + 4 : at + 8]), data[at + head : end]
            at = max(end, at + head)

    def _count(self) -> None:
        self._units += 1
        if self._units > MAX_UNITS:
            raise ValueError("the file has too many boxes or units of pixel data")


class _Numbers:
    """Reads big-endian numbers of whole bytes. Raises ValueError if the data end before."""

    def __init__(self, data: memoryview) -> None:
        self._data, self._at = data, 0

    @property
    def left(self) -> int:
        """Number of bytes that are not read yet."""
        return len(self._data) - self._at

    def take(self, size: int) -> memoryview:
        if size > self.left:
            raise ValueError("a box or unit ends too early")
        self._at += size
        return self._data[self._at - size : self._at]

    def read(self, size: int) -> int:
        return _integer(self.take(size))

    def leb128(self) -> int:
        value = 0
        for at in range(8):
            byte = self.read(1)
            value |= (byte & 127) << 7 * at
            if byte < 128:
                break
        return value


class _Bits:
    """Reads numbers of any number of bits. Raises ValueError if the data end before."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def read(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise ValueError("a header ends too early")
        return self._value >> self._left & (1 << count) - 1

    def exp_golomb(self) -> int:
        """Read a number that is called ue(v) in H.265 and uvlc() in AV1."""
        zeros = 0
        while not self.read(1):
            zeros += 1
        return (1 << zeros) - 1 + self.read(zeros)


def _hevc_size(sps: bytes) -> tuple[int, int]:
    """Read width and height from a sequence parameter set, H.265 section 7.3.2.2."""
    bits = _Bits(sps.replace(b"\0\0\3", b"\0\0"))
    bits.read(4)
    layers = bits.read(3)
    bits.read(1 + 88 + 8)
    present = [(bits.read(1), bits.read(1)) for _ in range(layers)]
    bits.read(2 * (8 - layers) if layers else 0)
    bits.read(sum(88 * profile + 8 * level for profile, level in present))
    bits.exp_golomb()
    if bits.exp_golomb() == 3:  # 4:4:4
        bits.read(1)
    return bits.exp_golomb(), bits.exp_golomb()


def _av1_size(header: bytes) -> tuple[int, int]:
    """Read the maximum width and height from a sequence header, AV1 section 5.5."""
    bits = _Bits(header)
    bits.read(4)
    if bits.read(1):  # reduced still picture header
        bits.read(5)
    else:
        _skip_operating_points(bits)
    widths, heights = bits.read(4) + 1, bits.read(4) + 1
    return bits.read(widths) + 1, bits.read(heights) + 1


def _skip_operating_points(bits: _Bits) -> None:
    model, delay = 0, 0
    if bits.read(1):  # timing information
        bits.read(64)
        if bits.read(1):
            bits.exp_golomb()
        model = bits.read(1)
        if model:
            delay = bits.read(5) + 1
            bits.read(32 + 5 + 5)
    display_delay = bits.read(1)
    for _ in range(bits.read(5) + 1):
        bits.read(12)
        if bits.read(5) > 7:
            bits.read(1)  # tier
        if model and bits.read(1):
            bits.read(2 * delay + 1)
        if display_delay and bits.read(1):
            bits.read(4)


def _integer(data: memoryview) -> int:
    return int.from_bytes(data, "big")
