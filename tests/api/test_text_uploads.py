"""Photos that clients send as text, as base64 of base64, or beside other files."""

from __future__ import annotations

import base64
import binascii
import io
import json
import time
import zlib
from contextlib import suppress
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pillow_heif import register_heif_opener

from api.bodies import read_json
from api.dialects import compreface_requests
from api.dialects.rekognition_fields import Fields
from api.encoding import decode_base64
from api.errors import ApiError, BadRequest, EmptyUpload, TooLarge
from api.lambda_events import Request, adapter_for
from api.photo_text import is_image, photo_bytes
from api.uploads import MAX_BYTES, Photos, read, read_pair, read_person, read_photos
from testing.events import request
from tests.api.client import KOFI, SERENA
from tests.api.test_uploads import FORM, broken, field, file, part, read_form, read_raw

CODED = base64.b64encode(KOFI).decode()
URL = f"data:image/jpeg;base64,{CODED}"
URLENCODED = "application/x-www-form-urlencoded"
END = b"--limit--\r\n"


def parsed(
    body: bytes | str, content_type: str = FORM, as_text: bool = False, headers: dict[str, str] | None = None
) -> Request:
    """Parse a request. as_text: the gateway passes the body as text."""
    raw = body.encode() if isinstance(body, str) else body
    event = request("POST", "/classify", raw, content_type)
    if as_text:
        event.update(body=raw.decode("utf-8", "replace"), isBase64Encoded=False)
    event["headers"].update(headers or {})
    return adapter_for(event).parse(event, "request-1")


def enrolled(*parts: bytes) -> Photos:
    return read_photos(parsed(b"".join(parts) + END))


def encoded_part(encoding: str, data: bytes, disposition: str = 'name="file"; filename="x.jpg"') -> bytes:
    return part(f"Content-Disposition: form-data; {disposition}\r\nContent-Transfer-Encoding: {encoding}", data)


def in_lines(text: str, line_break: str = "\r\n", width: int = 76) -> str:
    return line_break.join(text[i : i + width] for i in range(0, len(text), width))


def twice(data: bytes, times: int = 2) -> str:
    for _ in range(times):
        data = base64.b64encode(data)
    return data.decode()


WRITTEN: dict[str, str] = {
    "base64": CODED,
    "lines": in_lines(CODED),
    "indented": "\n    " + in_lines(CODED, "\r\n\t  "),
    "joined lines": in_lines(CODED, " "),
    "URL-safe": base64.urlsafe_b64encode(KOFI).decode().rstrip("="),
    "no padding": CODED.rstrip("="),
    "spaces for plus signs": CODED.replace("+", " "),
    "data URL": URL,
    "data URL in capitals": f"DATA:IMAGE/JPEG;BASE64,{CODED}",
    "data URL with a parameter": f"data:image/jpeg;charset=utf-8;base64,{in_lines(CODED)}",
    "data URL without a type": f"data:;base64,{CODED}",
    "data URL of another type": f"data:application/octet-stream;base64,{CODED}",
    "data URL with spaces for plus signs": URL.replace("+", " "),
    "data URL, base64 escaped": f"data:image/jpeg;base64,{quote(CODED, safe='')}",
    "data URL, escaped": f"data:image/jpeg,{quote(KOFI)}",
    "data URL without its ;base64": f"data:image/jpeg,{CODED}",
    "twice": twice(KOFI),
    "three times": twice(KOFI, 3),
    "twice, in lines": in_lines(base64.b64encode(in_lines(CODED).encode()).decode()),
    "base64 of a data URL": base64.b64encode(URL.encode()).decode(),
    "data URL of base64": f"data:image/jpeg;base64,{twice(KOFI)}",
    "quoted": json.dumps(URL),
    "Python's bytes": str(base64.b64encode(KOFI)),
    "byte order mark": f"\ufeff{CODED}\r\n",
}
each_writing = pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN)


@each_writing
def test_file_of_a_form_that_is_text(text: str) -> None:
    assert read_form(file(data=text.encode())).image == KOFI
    named = part(
        'Content-Disposition: form-data; name="f"; filename="x.txt"\r\nContent-Type: text/plain', text.encode()
    )
    assert read_form(named).name == "x.txt"
    assert read_form(named).image == KOFI


@pytest.mark.parametrize("name", ["file", "image", "photo", "imgBase64"])
@each_writing
def test_text_field_that_is_a_photo(name: str, text: str) -> None:
    found = read_form(field("top", "3"), field(name, text))
    assert (found.name, found.image, found.options.top) == ("photo", KOFI, 3)


@pytest.mark.parametrize(
    "kind", ["text/plain", "text/plain;charset=UTF-8", "application/octet-stream", "application/json", "image/jpeg", ""]
)
@each_writing
def test_raw_text(text: str, kind: str) -> None:
    assert read_raw(text.encode(), kind, top="3").image == KOFI
    assert read(parsed(text, kind, as_text=True)).image == KOFI


@each_writing
def test_text_in_json(text: str) -> None:
    assert read_raw(json.dumps({"image": text}).encode(), "application/json").image == KOFI


@each_writing
def test_text_in_a_url_encoded_form(text: str) -> None:
    assert read_raw(urlencode({"top": "3", "image": text}).encode(), URLENCODED).image == KOFI


@pytest.mark.parametrize("kind", [URLENCODED, f"{URLENCODED}; charset=UTF-8", "Application/X-WWW-Form-URLEncoded"])
@pytest.mark.parametrize("text", [CODED, URL, in_lines(CODED)])
def test_url_encoded_form_whose_plus_signs_are_not_escaped(text: str, kind: str) -> None:
    """`curl -d "image=$(base64 photo.jpg)"` sends this."""
    assert "+" in text
    found = read_raw(f"top=3&image={text}&faces=all".encode(), kind)
    assert (found.image, found.options.top, found.options.all_faces) == (KOFI, 3, True)


def test_url_encoded_bytes() -> None:
    """Python's requests sends them for `data={"image": file}`."""
    assert read_raw(urlencode({"image": KOFI}).encode(), URLENCODED).image == KOFI


def test_url_encoded_form_with_a_person() -> None:
    body = f"name=Zo%C3%AB+M&external_id=7&photo={quote_plus(URL)}&file={quote_plus(twice(SERENA))}"
    photos, values = read_person(parsed(body, URLENCODED))
    assert [photo.data for photo in photos] == [KOFI, SERENA]
    assert values == {"name": ["Zoë M"], "external_id": ["7"]}
    assert read_person(parsed("name=Ada", URLENCODED)) == Photos((), {"name": ["Ada"]})


@pytest.mark.parametrize("body", ["image=@photo.jpg", "image=photo.jpg&top=3", "top=3", "image=", "image=aGVsbG8%3D"])
def test_url_encoded_form_without_a_photo(body: str) -> None:
    assert "curl -F file=@photo.jpg" in broken(body.encode(), URLENCODED)


def test_limit_of_url_encoded_fields() -> None:
    assert "more than 100" in broken(b"&".join([b"a=b"] * 101), URLENCODED)


def test_body_without_a_form_that_is_declared_as_url_encoded() -> None:
    """curl declares it for each body that has no type."""
    assert read_raw(KOFI, URLENCODED).image == KOFI
    assert read_raw(b"no photo = no face", URLENCODED).image == b"no photo = no face"
    assert read_raw(CODED.encode(), URLENCODED).image == KOFI
    assert read_raw(json.dumps({"image": CODED}).encode(), URLENCODED).image == KOFI


@pytest.mark.parametrize(
    "kind", ["text/plain", "text/json", "application/vnd.api+json", URLENCODED, FORM, "", "image/png"]
)
def test_json_of_another_media_type(kind: str) -> None:
    body = json.dumps({"image": URL}, indent=2)
    assert read(parsed(body, kind)).image == KOFI
    assert read(parsed(body, kind, as_text=True)).image == KOFI
    assert "JSON body is not of the form" in broken(b'{"photo": "x"}', kind)
    assert read_person(parsed('{"name": "Ada"}', kind)).values == {"name": ["Ada"]}


@pytest.mark.parametrize("kind", ["multipart/form-data", FORM, "application/json"])
def test_photo_that_is_declared_as_something_else(kind: str) -> None:
    assert read_raw(KOFI, kind).image == KOFI
    assert read_raw(URL.encode(), kind).image == KOFI


def test_pair_as_text() -> None:
    second = twice(SERENA)
    for body, kind in (
        (field("source", URL) + field("target", second) + END, FORM),
        (file('name="source"; filename="a"', URL.encode()) + file('name="target"; filename="b"', SERENA) + END, FORM),
        (urlencode({"source": URL, "target": second}).encode(), URLENCODED),
        (json.dumps({"source": URL, "target": second}).encode(), "application/json"),
        (json.dumps({"source": URL, "target": second}).encode(), "text/plain"),
    ):
        pair = read_pair(parsed(body, kind))
        assert (pair.source, pair.target) == (KOFI, SERENA)


@each_writing
def test_text_that_clients_of_compreface_send(text: str) -> None:
    for body, kind in (
        (field("file", text) + END, FORM),
        (file(data=text.encode()) + END, FORM),
        (urlencode({"file": text}).encode(), URLENCODED),
        (json.dumps({"file": text}).encode(), "application/json"),
        (json.dumps({"file": text}).encode(), URLENCODED),
    ):
        assert compreface_requests.read_photos(parsed(body, kind), "file").images == (KOFI,)


@each_writing
def test_text_that_clients_of_rekognition_send(text: str) -> None:
    """boto3 encodes the bytes of an image in base64, and programs often pass base64 as these bytes."""
    body = json.dumps({"Image": {"Bytes": base64.b64encode(text.encode()).decode()}})
    assert Fields.of(parsed(body, "application/x-amz-json-1.1"), lambda *_: b"").image() == KOFI
    assert Fields({"Image": {"Bytes": text}}, lambda *_: b"").image() == KOFI


BROKEN = {
    "cut": CODED[: len(CODED) // 4 * 4 - 3],
    "wrong characters": CODED[:400] + "!" + CODED[401:],
    "padding within": CODED[:400] + "=" + CODED[401:],
    "wrong characters in a data URL": "data:image/jpeg;base64,/9j/!!!!",
    "data URL that is not base64": "data:image/jpeg;base64,photo.jpg",
    "twice": base64.b64encode((CODED[:400] + "!").encode()).decode(),
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_broken_base64_is_named(text: str) -> None:
    for body, kind in (
        (file(data=text.encode()) + END, FORM),
        (field("image", text) + END, FORM),
        (text.encode(), "text/plain"),
        (urlencode({"image": text}).encode(), URLENCODED),
        (json.dumps({"image": text}).encode(), "application/json"),
    ):
        assert broken(body, kind) == "The photo is not valid base64."


@pytest.mark.parametrize(
    "text", ["photo.jpg", "C:\\photo.jpg", "@photo.jpg", "photo", "/9k=", "data:", "[object File]"]
)
def test_text_that_is_no_photo(text: str) -> None:
    assert "curl -F file=@photo.jpg" in broken(field("file", text) + END)
    with pytest.raises(BadRequest, match=r"`file` is text and not a file: curl needs an @, as in -F file=@photo\.jpg"):
        read_person(parsed(field("name", "Ada") + field("file", text) + END))


def test_empty_data_url() -> None:
    for body in (field("file", "data:image/jpeg;base64,"), file(data=b"data:image/jpeg;base64,")):
        with pytest.raises(EmptyUpload):
            read_form(body)


@pytest.mark.parametrize("encoding", ["", "base64"])
def test_size_limit_of_text(encoding: str) -> None:
    def sent(data: bytes) -> bytes:
        return read_form(encoded_part(encoding, base64.b64encode(data))).image

    largest = KOFI + bytes(MAX_BYTES - len(KOFI))
    assert len(sent(largest)) == MAX_BYTES
    with pytest.raises(TooLarge, match=r"more than 4\.5 MB"):
        sent(largest + b"x")


# Content-Transfer-Encoding


@pytest.mark.parametrize("encoding", ["base64", "BASE64", " Base64 "])
@pytest.mark.parametrize("data", [b"hello", b"", KOFI, bytes(range(256))])
def test_part_in_base64(encoding: str, data: bytes) -> None:
    for coded in (base64.b64encode(data), base64.encodebytes(data), in_lines(base64.b64encode(data).decode()).encode()):
        assert [photo.data for photo in enrolled(encoded_part(encoding, coded)).photos] == [data]


def test_part_in_quoted_printable() -> None:
    coded = binascii.b2a_qp(KOFI, istext=False)
    assert read_form(encoded_part("quoted-printable", coded)).image == KOFI
    assert read_form(encoded_part("Quoted-Printable", coded.replace(b"\n", b"\r\n"))).image == KOFI


@pytest.mark.parametrize("encoding", ["7bit", "8bit", "BINARY", "binary", ""])
def test_part_that_is_not_encoded(encoding: str) -> None:
    assert read_form(encoded_part(encoding, KOFI)).image == KOFI


def test_text_field_in_base64() -> None:
    name = encoded_part("base64", base64.b64encode("Zoë".encode()), 'name="name"')
    assert read_person(parsed(name + END)).values == {"name": ["Zoë"]}


@pytest.mark.parametrize("data", [b"not base64!", KOFI, b"a", b"eA==eA=="])
def test_part_with_broken_base64(data: bytes) -> None:
    assert "Content-Transfer-Encoding: base64" in broken(encoded_part("base64", data) + END)


@pytest.mark.parametrize("encoding", ["x-uuencode", "gzip", "utf-8"])
def test_unknown_encoding_of_a_part(encoding: str) -> None:
    message = broken(encoded_part(encoding, KOFI) + END)
    assert f"Content-Transfer-Encoding: {encoding}" in message
    assert len(broken(encoded_part("x" * 5000, KOFI) + END)) < 300


# Files beside the photo

JSON_BLOB = part(
    'Content-Disposition: form-data; name="metadata"; filename="blob"\r\nContent-Type: application/json', b'{"top": 7}'
)
JSON_FILE = part(
    'Content-Disposition: form-data; name="data"; filename="data.json"\r\nContent-Type: application/octet-stream',
    b" [1]\n",
)
TEXT_FILE = part('Content-Disposition: form-data; name="note"; filename="a.txt"\r\nContent-Type: text/plain', b"hello")
PDF = part(
    'Content-Disposition: form-data; name="cv"; filename="cv.pdf"\r\nContent-Type: application/pdf',
    b"%PDF-1.7\n\xff\xd8\xff",
)
OTHERS = {"blob": JSON_BLOB, "JSON file": JSON_FILE, "text": TEXT_FILE, "PDF": PDF}
each_other = pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
PICTURE = file(data=KOFI)


@each_other
def test_first_image_counts(other: bytes) -> None:
    for parts in ((other, PICTURE), (PICTURE, other), (other, other, PICTURE, file(data=SERENA))):
        assert read_form(*parts) == read_form(PICTURE)
    assert read_form(other, field("image", URL)).image == KOFI


@each_other
def test_without_an_image_the_first_file_counts(other: bytes) -> None:
    expected = other.split(b"\r\n\r\n", 1)[1][:-2]
    assert read_form(other).image == expected
    assert read_form(other, file(data=b"second")).image == expected


def test_image_with_the_media_type_of_something_else() -> None:
    wrong = part('Content-Disposition: form-data; name="a"; filename="blob"\r\nContent-Type: application/json', KOFI)
    assert read_form(TEXT_FILE, wrong).image == KOFI
    assert [photo.data for photo in enrolled(wrong).photos] == [KOFI]


def test_files_precede_text_fields() -> None:
    assert read_form(field("thumbnail", twice(SERENA, 1)), PICTURE).image == KOFI


def test_json_is_not_one_of_several_photos() -> None:
    both = (JSON_BLOB, PICTURE, JSON_FILE, file(data=SERENA), TEXT_FILE)
    assert [photo.data for photo in enrolled(*both).photos] == [KOFI, SERENA, b"hello"]
    person = read_person(parsed(b"".join([field("name", "Ada"), *both]) + END))
    assert [photo.data for photo in person.photos] == [KOFI, SERENA, b"hello"]
    assert "top" not in person.values
    assert len(enrolled(*[PICTURE] * 20, JSON_BLOB).photos) == 20
    # Not a person without photos, if the client meant to send one.
    assert [photo.data for photo in read_person(parsed(field("name", "Ada") + JSON_BLOB + END)).photos] == [
        b'{"top": 7}'
    ]


def test_broken_text_among_several_photos() -> None:
    text = BROKEN["cut"].encode()
    assert [photo.data for photo in enrolled(PICTURE, file(data=text)).photos] == [KOFI, text]


def test_pair_beside_other_files_of_the_same_fields() -> None:
    source = [file('name="source"; filename="blob"', data) for data in (b"{}", KOFI, SERENA)]
    pair = read_pair(parsed(b"".join([*source, file('name="target"; filename="b"', SERENA)]) + END))
    assert (pair.source, pair.target) == (KOFI, SERENA)
    images = compreface_requests.read_photos(parsed(file(data=b"{}") + PICTURE + END), "file").images
    assert images == (KOFI,)


def test_photo_of_a_person_in_json() -> None:
    with pytest.raises(BadRequest, match="files of a form"):
        read_person(parsed(json.dumps({"name": "Ada", "image": CODED}), "application/json"))


def saved(kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), (200, 30, 90)).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "HEIF", "BMP", "TIFF"])
def test_images_are_recognized_by_their_first_bytes(kind: str) -> None:
    register_heif_opener()
    data = saved(kind)
    assert is_image(data)
    assert read_form(PDF, file(data=data)).image == data
    for text in (twice(data, 1), twice(data), twice(data, 1).replace("+", " "), in_lines(twice(data, 1))):
        assert photo_bytes(text.encode()) == data
    assert read_form(PDF, field("image", twice(data, 1))).image == data


@pytest.mark.parametrize("brand", [b"heic", b"hevx", b"mif1", b"mif2", b"msf1", b"miaf", b"MiHE", b"avif", b"MA1B"])
@pytest.mark.parametrize("others", [b"", b"isom\0\0\0\0" + 90 * b"abcd"])
def test_images_are_recognized_by_any_brand(brand: bytes, others: bytes) -> None:
    data = b"\0\0\2\0ftyp" + others + brand + bytes(200)
    assert is_image(data)
    assert photo_bytes(base64.b64encode(data)) == data
    assert not is_image(data.replace(brand, b"mp42"))


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"%PDF-1.7", b"PK\3\4", b"hello", b"{}", b"<svg/>", b"\0" * 700])
def test_other_files_are_no_images(data: bytes) -> None:
    assert not is_image(data)
    assert photo_bytes(data) == data
    assert photo_bytes(base64.b64encode(data)) == base64.b64encode(data)


# Compressed bodies


@pytest.mark.parametrize("kind", ["application/json", FORM, "image/jpeg", URLENCODED])
@pytest.mark.parametrize("header", [{}, {"content-encoding": "gzip"}, {"Content-Encoding": "GZIP"}])
@pytest.mark.parametrize("as_text", [False, True])
def test_gzip_is_named(kind: str, header: dict[str, str], as_text: bool) -> None:
    compressor = zlib.compressobj(wbits=31)
    body = compressor.compress(json.dumps({"image": CODED}).encode()) + compressor.flush()
    for parse in (read, read_person, read_json):
        with pytest.raises(BadRequest, match="compressed with gzip"):
            parse(parsed(body, kind, as_text, header))


@pytest.mark.parametrize("encoding", ["deflate", "br", "zstd", "BR", "identity, br"])
def test_other_compressions_are_named(encoding: str) -> None:
    with pytest.raises(BadRequest, match=f"compressed with {encoding.split(', ')[-1].lower()}"):
        read(parsed(zlib.compress(KOFI), "image/jpeg", headers={"content-encoding": encoding}))


@pytest.mark.parametrize("encoding", ["identity", "utf-8", "aws-chunked", "gzip", ""])
def test_body_that_is_not_compressed(encoding: str) -> None:
    """A proxy that has decompressed a body may leave the header."""
    assert read(parsed(KOFI, "image/jpeg", headers={"content-encoding": encoding})).image == KOFI


# Line breaks of forms


def with_newlines(*parts: bytes) -> bytes:
    """Encode a form whose lines end in LF alone; the files stay as they are."""
    lines = b"".join(parts) + END
    for data in (KOFI, SERENA):
        lines = lines.replace(data, bytes([data[0]]) + b"DATA%d" % len(data))
    lines = lines.replace(b"\r\n", b"\n")
    for data in (KOFI, SERENA):
        lines = lines.replace(bytes([data[0]]) + b"DATA%d" % len(data), data)
    return lines


def test_form_whose_lines_end_in_newlines() -> None:
    body = with_newlines(field("top", "3"), field("note", "a\r\n\r\nb"), JSON_BLOB, PICTURE, file(data=SERENA))
    assert b"\nContent-Type: image/jpeg\n\n\xff\xd8" in body
    for text in (body, b"\n" + body, b"preamble\n" + body):
        found = read_raw(text, FORM)
        assert (found.name, found.image, found.options.top) == ("x.jpg", KOFI, 3)
    coded = encoded_part("base64", base64.encodebytes(KOFI)).replace(b"\r\n", b"\n")
    assert read_raw(coded + b"--limit--\n", FORM).image == KOFI


@pytest.mark.parametrize(
    "body",
    [
        with_newlines(PICTURE)[:-20],
        with_newlines(PICTURE).replace(b"--limit", b"--other"),
        b"--limit\nContent-Disposition: form-data; name=file; filename=x\n--limit--",
        b"--limit\n" + b"A: b\n" * 2000 + b"--limit--",
        b"\n--limit" * 101 + b"\n--limit--",
    ],
)
def test_broken_form_whose_lines_end_in_newlines(body: bytes) -> None:
    assert "multipart body is broken" in broken(body) or "more than" in broken(body)


# Spaces in base64


@pytest.mark.parametrize(
    "data", [b"\xfb\xef\xbe", b"\xfb\xef\xbe\xfb\xef\xbe" * 9, bytes(range(256)) * 5, b"\0\0>\0\0\0" * 50]
)
def test_spaces_for_plus_signs(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    assert "+" in text
    assert decode_base64(text.replace("+", " ")) == data or text[0] == "+" or text[-1] == "+"


@pytest.mark.parametrize("separator", [" ", "\n", "\r\n", "\r\n    ", "\n\t", " \n "])
@pytest.mark.parametrize("width", [4, 64, 72, 76])
@pytest.mark.parametrize("size", [1, 57, 58, 100, 1000])
def test_lines_of_base64(separator: str, width: int, size: int) -> None:
    data = bytes(i * 7 % 251 for i in range(size))
    assert decode_base64(in_lines(base64.b64encode(data).decode(), separator, width)) == data
    without = b"\0" * size  # base64 without a plus sign
    assert decode_base64(in_lines(base64.b64encode(without).decode(), separator, width)) == without


# Any bytes

PIECES = st.sampled_from(
    [
        URL[:60],
        CODED[:40],
        "data:",
        "image/png",
        ";base64,",
        "%",
        "%2F",
        "=",
        "+",
        " ",
        "&",
        "\n",
        "'",
        "b'",
        '"',
        "image=",
        "/9j/",
        "{",
    ]
)


@settings(max_examples=300, derandomize=True, database=None, deadline=None)
@given(
    st.lists(PIECES | st.text(max_size=5), max_size=8).map("".join),
    st.sampled_from([FORM, URLENCODED, "text/plain", "application/json", ""]),
    st.sampled_from(["raw", "field", "file", "base64", "quoted-printable", "json"]),
    st.booleans(),
)
def test_any_text(text: str, kind: str, write: str, as_text: bool) -> None:
    body = {
        "raw": text.encode("utf-8", "replace"),
        "field": part('Content-Disposition: form-data; name="image"', text.encode("utf-8", "replace")) + END,
        "file": file(data=text.encode("utf-8", "replace")) + END,
        "json": json.dumps({"image": text, "file": text}).encode(),
    }.get(write) or encoded_part(write, text.encode("utf-8", "replace")) + END
    for parse in (read, read_photos, read_person, read_pair):
        with suppress(ApiError):
            parse(parsed(body, kind, as_text))
    with suppress(ApiError):
        compreface_requests.read_photos(parsed(body, kind, as_text), "file")


SLOW: dict[str, tuple[bytes, str]] = {
    "percent signs": (b"image=data:image/png," + b"%" * 4_500_000, URLENCODED),
    "escapes": (b"name=" + b"%41" * 1_500_000, URLENCODED),
    "ampersands": (b"a=" + b"&" * 4_500_000, URLENCODED),
    "data URLs of data URLs": (b"data:a/b," * 500_000, "text/plain"),
    "spaces": (b"/9j/" + b" A" * 2_250_000, "text/plain"),
    "lines": (b"/9j/" + b"\n" * 4_500_000, "text/plain"),
    "quotes": (b"'data:a/b," + b"'" * 4_500_000, "text/plain"),
    "newlines in a form": (b"--limit\n" + b"\n" * 4_500_000 + b"\n--limit--", FORM),
    "delimiters in a form": (b"\n--limit\n\n" * 400_000 + b"\n--limit--", FORM),
    "quoted-printable": (encoded_part("quoted-printable", b"=\n" * 2_000_000) + END, FORM),
}


@pytest.mark.parametrize("name", SLOW)
def test_slow_texts_are_decoded_in_limited_time(name: str) -> None:
    started = time.process_time()
    with suppress(ApiError):
        read_raw(*SLOW[name])
    assert time.process_time() - started < 2


def test_usual_photos_take_no_longer() -> None:
    """Only the first bytes of a photo are looked at."""
    photo = KOFI + bytes(4_000_000)
    started = time.process_time()
    for _ in range(1000):
        assert photo_bytes(photo) is photo
    assert time.process_time() - started < 0.1
