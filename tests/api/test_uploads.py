"""Valid and invalid uploads, from the event to the photo's bytes and the options."""

from __future__ import annotations

import base64
import json
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any, Callable

import pytest

from api import forms, uploads
from api.errors import ApiError, BadParameter, BadRequest, EmptyUpload, TooLarge
from api.lambda_events import adapter_for
from api.uploads import MAX_BYTES, Upload, read
from service.results import IdentifyOptions
from testing.events import request

PHOTO = bytes(range(256)) + b"\r\n--not the boundary\r\n\r\n"
FORM = "multipart/form-data; boundary=limit"


def part(head: str | bytes, data: bytes = PHOTO) -> bytes:
    """Encode a part of a form. head: its header lines."""
    return b"--limit\r\n" + (head.encode() if isinstance(head, str) else head) + b"\r\n\r\n" + data + b"\r\n"


def file(parameters: str | bytes = 'name="file"; filename="x.jpg"', data: bytes = PHOTO) -> bytes:
    raw = parameters.encode() if isinstance(parameters, str) else parameters
    return part(b"Content-Disposition: form-data; " + raw + b"\r\nContent-Type: image/jpeg", data)


def field(name: str, value: str, head: str = "") -> bytes:
    return part(f'Content-Disposition: form-data; name="{name}"{head}', value.encode())


def read_form(*parts: bytes, content_type: str = FORM, **query: str) -> Upload:
    return read_raw(b"".join(parts) + b"--limit--\r\n", content_type, **query)


def read_event(event: dict[str, Any]) -> Upload:
    return read(adapter_for(event).parse(event, "request-1"))


def read_raw(body: bytes, content_type: str, **query: str) -> Upload:
    return read_event(request("POST", "/classify", body, content_type, **query))


def read_json(value: Any) -> Upload:
    return read_raw(json.dumps(value).encode(), "application/json")


def name_of(parameters: str | bytes) -> str:
    return read_form(file(parameters)).name


@pytest.mark.parametrize("name", ["file", "photo", "", "naïve", "file[]"])
def test_any_field_name(name: str) -> None:
    assert read_form(file(f'name="{name}"; filename="x.jpg"')) == Upload("x.jpg", PHOTO, IdentifyOptions())


def test_first_file_counts_at_any_position() -> None:
    second = file('name="b"; filename="second.jpg"', b"second")
    found = read_form(field("note", "hello"), file(), second, field("top", "7"))
    assert found == Upload("x.jpg", PHOTO, IdentifyOptions(top=7))


@pytest.mark.parametrize("kind", ["image/heic", "image/heif", "application/octet-stream", "IMAGE/JPEG"])
def test_file_without_a_name(kind: str) -> None:
    found = read_form(part(f'Content-Disposition: form-data; name="file"\r\nContent-Type: {kind}'))
    assert found == Upload("photo", PHOTO, IdentifyOptions())


@pytest.mark.parametrize("kind", ["text/plain", "text/plain; charset=utf-8", "application/json"])
def test_text_field_that_names_its_type(kind: str) -> None:
    """.NET's StringContent and `curl -F 'top=3;type=text/plain'` send such fields."""
    assert read_form(field("top", "3", f"\r\nContent-Type: {kind}"), file()).options.top == 3


def test_fields_set_options_and_the_query_overrides_them() -> None:
    fields = [field("top", "3"), field("threshold", " 0.25\r\n"), field("strictness", "0.3"), field("faces", "all")]
    given = IdentifyOptions(top=3, threshold=0.25, strictness=0.3, all_faces=True)
    assert read_form(*fields, file()).options == given
    overridden = replace(given, top=9, strictness=3, all_faces=False)
    assert read_form(*fields, file(), top="9", strictness="3", faces="largest").options == overridden
    with pytest.raises(BadParameter):
        read_form(field("top", "0"), file())


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ('filename="x.jpg"', "x.jpg"),
        ("filename=x.jpg", "x.jpg"),
        ('FileName = "x.jpg"', "x.jpg"),
        ('filename="日本 語.jpg"', "日本 語.jpg"),
        ('filename="naïve.jpg"'.encode("latin-1"), "na\ufffdve.jpg"),
        ("filename=voilà", "voilà"),  # in UTF-8 it ends with 0xA0, Latin-1's no-break space
        ("filename=Å", "Å"),  # and this with 0x85, Latin-1's next line
        (r'filename="a \"b\" \\c.jpg"', "c.jpg"),
        (r'filename="say \"cheese\".jpg"', 'say "cheese".jpg'),
        ('filename="a;b=c.jpg"; x=y', "a;b=c.jpg"),
        ("filename*=UTF-8''na%C3%AFve%20photo.jpg", "naïve photo.jpg"),
        ("filename*=utf-8'en'%e2%82%ac.jpg; filename=\"x.jpg\"", "€.jpg"),
        ("filename=\"x.jpg\"; filename*=iso-8859-1''%A3.jpg", "£.jpg"),
        ("filename=\"x.jpg\"; filename*=UTF-8''%ff%fe.jpg", "\ufffd\ufffd.jpg"),
        ("filename=\"x.jpg\"; filename*=idna''a..b", "x.jpg"),
        ("filename=\"x.jpg\"; filename*=\0''y", "x.jpg"),
        ('filename="x.jpg"; filename*=y; filename*0=z; filename*99999999999999999999=z', "x.jpg"),
        ("filename*=UTF-8''..%2F..%2Fetc%2Fpasswd", "passwd"),
        ('filename="../../x.jpg"', "x.jpg"),
        (r'filename="C:\x\y.jpg"', "y.jpg"),
        (r'filename="C:\\x\\y.jpg"', "y.jpg"),
        ('filename="/etc/passwd"', "passwd"),
        ('filename=".."', "photo"),
        ('filename="../"', "photo"),
        ('filename="."', "photo"),
        ('filename=""', "photo"),
        ('filename=" "', "photo"),
        ('filename="a\0b\x1f\x7f.jpg"', "ab.jpg"),
        ("filename*=UTF-8''a%00%0d%0a%c2%85b.jpg", "ab.jpg"),
        ("filename*=UTF-8''a%E2%80%AEgpj.exe", "agpj.exe"),
        ('filename="' + 7000 * "x" + '.jpg"', 251 * "x" + ".jpg"),
        ('filename="' + 2000 * "語" + '.jpg"', 251 * "語" + ".jpg"),
    ],
)
def test_file_name_is_a_plain_base_name(parameters: str | bytes, name: str) -> None:
    raw = parameters.encode() if isinstance(parameters, str) else parameters
    assert name_of(b'name="file"; ' + raw) == name


@pytest.mark.parametrize("name", ["emoji 👩‍👧.jpg", "می‌خواهم.jpg", "9.41\u202fPM.png"])
def test_joiners_and_narrow_spaces_are_kept(name: str) -> None:
    assert name_of(f'filename="{name}"') == name


@pytest.mark.parametrize(
    "content_type",
    [
        'multipart/form-data; boundary="limit"',
        "Multipart/Form-Data; Boundary=limit",
        "multipart/form-data;charset=utf-8;boundary=limit",
        "multipart/form-data ; boundary = limit ; x",
    ],
)
def test_ways_to_name_the_boundary(content_type: str) -> None:
    assert read_form(file(), content_type=content_type).image == PHOTO


@pytest.mark.parametrize("boundary", ["*****", "a b", "(a)+/'?:=,._-", "x" * 70])
def test_unusual_boundaries(boundary: str) -> None:
    body = (file() + b"--limit--").replace(b"--limit", b"--" + boundary.encode())
    assert read_raw(body, f'multipart/form-data; boundary="{boundary}"').image == PHOTO


def test_header_of_a_part_in_any_case() -> None:
    shouted = part('CONTENT-DISPOSITION: FORM-DATA; NAME="file"; FILENAME="x.jpg"')
    assert read_form(shouted) == Upload("x.jpg", PHOTO, IdentifyOptions())


@pytest.mark.parametrize("before", [b"", b"\r\n", b"This is a form.\r\n", b"It has --limit in it.\r\n"])
@pytest.mark.parametrize("after", [b"", b"\r\n", b"\r\nThat was it.\r\n\r\n", b"\r\n--limit\r\n\r\n\r\n--limit--\r\n"])
def test_text_around_the_form_is_ignored(before: bytes, after: bytes) -> None:
    assert read_raw(before + file() + b"--limit--" + after, FORM) == Upload("x.jpg", PHOTO, IdentifyOptions())


def test_padding_after_delimiters_is_ignored() -> None:
    padded = (field("top", "3") + file()).replace(b"--limit\r\n", b"--limit \t\r\n")
    assert read_raw(padded + b"--limit-- \r\n", FORM) == Upload("x.jpg", PHOTO, IdentifyOptions(top=3))


def test_folded_header() -> None:
    folded = part('Content-Disposition: form-data;\r\n name="file";\r\n\tfilename="x.jpg"')
    assert read_form(folded) == Upload("x.jpg", PHOTO, IdentifyOptions())


def test_last_of_repeated_headers_counts() -> None:
    disposition = "Content-Disposition: form-data; name=file; filename={}.jpg\r\n"
    assert read_form(part(disposition.format("a") + disposition.format("b") + "X: y")).name == "b.jpg"


def test_further_headers_of_a_part_are_ignored() -> None:
    more = "\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <1>" + 1000 * "\r\nX: y"
    assert read_form(field("top", "3", more), file()) == Upload("x.jpg", PHOTO, IdentifyOptions(top=3))


def test_content_length_of_a_part() -> None:
    """OkHttp sends this header."""
    head = 'Content-Disposition: form-data; name="file"; filename="x.jpg"\r\nContent-Length: {}'
    assert read_form(part(head.format(len(PHOTO)))).image == PHOTO
    for wrong in (len(PHOTO) - 1, len(PHOTO) + 1):
        assert "broken or cut short" in broken(part(head.format(wrong)) + b"--limit--")


def test_text_field_with_line_breaks() -> None:
    """An empty line and most of a delimiter do not end a part."""
    assert read_form(field("note", "a\r\n\r\n--limi\r\n-limit\r\n"), file(), field("top", "3")).options.top == 3


def test_empty_file_input_is_skipped() -> None:
    empty = part('Content-Disposition: form-data; name="a"; filename=""\r\nContent-Type: application/octet-stream', b"")
    assert read_form(empty, file()).name == "x.jpg"
    with pytest.raises(EmptyUpload, match="No file was chosen"):
        read_form(field("top", "3"), empty)


@pytest.mark.parametrize(
    "kind", ["image/jpeg", "image/heic", "image/gif", "Image/PNG", "", "application/x-www-form-urlencoded"]
)
def test_raw_body(kind: str) -> None:
    assert read_raw(PHOTO, kind, top="2") == Upload("photo", PHOTO, IdentifyOptions(top=2))


def in_lines(text: str) -> str:
    return "".join(text[i : i + 76] + "\r\n" for i in range(0, len(text), 76))


@pytest.mark.parametrize(
    "write",
    [
        str,
        in_lines,
        "data:image/jpeg;base64,{}".format,
        "DATA:;base64, {}".format,
        lambda text: "\n data:image/heic;base64,\n" + in_lines(text),
        lambda text: text.rstrip("="),
        lambda text: text.replace("+", "-").replace("/", "_").rstrip("="),
    ],
)
def test_json(write: Callable[[str], str]) -> None:
    data = bytes(range(256)) + b"x"
    text = base64.b64encode(data).decode()
    assert text.endswith("=")
    assert read_json({"image": write(text), "other": 1}).image == data


def test_json_as_text_and_with_a_character_set() -> None:
    event = request("POST", "/classify", b"", "application/json; charset=utf-8")
    event.update(body=json.dumps({"image": "eA=="}), isBase64Encoded=False)
    assert read_event(event).image == b"x"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"3",
        b'"x"',
        b"{}",
        b'{"image": null}',
        b'{"image": 3}',
        b'{"image": ["eA=="]}',
        b"{",
        b"\xff",
    ]
    + [b'{"image": "%s"}' % text for text in (b"!", b"eA==eA==", b"\xc3\xa9", b"=", b"a")]
    + [b'{"image": "\\ud800"}', b'{"image":' * 100_000, b"[" * 100_000, b'{"image":' + b"9" * 100_000 + b"}"],
    ids=lambda body: body[:20],
)
def test_wrong_json(body: bytes) -> None:
    with pytest.raises(BadRequest, match=r"JSON body is not|not valid base64"):
        read_raw(body, "application/json")


def test_empty_photo_in_json() -> None:
    for image in ("", "data:image/jpeg;base64,", " \n"):
        with pytest.raises(EmptyUpload):
            read_json({"image": image})


@pytest.mark.parametrize("kind", ["", "image/jpeg", FORM])
def test_no_body(kind: str) -> None:
    for body in (None, ""):
        event = {**request("POST", "/classify", b"", kind), "body": body}
        with pytest.raises(BadRequest, match="no body"):
            read_event(event)


def test_body_with_invalid_base64() -> None:
    event = {**request("POST", "/classify", b"", "image/jpeg"), "body": "not base64!"}
    with pytest.raises(BadRequest, match="base64"):
        read_event(event)


@pytest.mark.parametrize("kind", ["image/jpeg", FORM])
def test_photo_decoded_as_text_by_a_gateway(kind: str) -> None:
    """Gateways decode bodies as text unless they are configured to pass bytes."""
    body = PHOTO if kind == "image/jpeg" else file() + b"--limit--"
    event = request("POST", "/classify", b"", kind)
    event.update(body=body.decode("utf-8", "replace"), isBase64Encoded=False)
    with pytest.raises(BadRequest, match="arrived as text"):
        read_event(event)


def test_form_as_text() -> None:
    event = request("POST", "/classify", b"", FORM)
    event.update(body=(file(data=b"plain") + b"--limit--").decode(), isBase64Encoded=False)
    assert read_event(event).image == b"plain"
    event["body"] = event["body"].replace("plain", "\ud800")
    assert read_event(event).image == b"?"


def broken(body: bytes, content_type: str = FORM) -> str:
    with pytest.raises(BadRequest) as caught:
        read_raw(body, content_type)
    return str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        file(),  # no end
        file()[:-20],
        (file() + b"--limit--").replace(b"--limit", b"--other"),
        b"--limit\r\nContent-Disposition: form-data\r\n--limit--",
        b"--limit\r\nContent-Disposition: form-data\r\n--limit--\r\n\r\n",
        file() + part("no header") + b"--limit--",
        file(data=b"x\r\n--limited\r\n\r\ny") + b"--limit--",
        file().replace(b"--limit\r\n", b"--limited\r\n") + b"--limit--",
        b"\r\n" * 10,
        b"x",
    ],
)
def test_broken_form(body: bytes) -> None:
    assert "boundary is not the one" in broken(body)


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; x=y"])
def test_no_boundary(kind: str) -> None:
    assert "names no boundary" in broken(file(), kind)


@pytest.mark.parametrize("boundary", ["x" * 71, "x" * 1000, "é", "a\r\nb", "a;b", r"a\\b", "a "])
def test_invalid_boundary(boundary: str) -> None:
    body = (file() + b"--limit--").replace(b"--limit", b"--" + boundary.encode())
    assert "70 plain characters" in broken(body, f'multipart/form-data; boundary="{boundary}"')


@pytest.mark.parametrize(
    "parts",
    [b"", field("top", "3"), b"--limit\r\n\r\n" + PHOTO + b"\r\n", part("no header"), part("Content-Disposition: x")],
    ids=["empty", "text", "no headers", "junk", "no name"],
)
def test_form_without_a_file(parts: bytes) -> None:
    assert "has no file" in broken(parts + b"--limit--\r\n")
    assert "has no file" in broken(field("faces", "all") + parts + b"--limit--\r\n")


def test_parts_within_a_part() -> None:
    inner = b"--inner\r\nContent-Disposition: file; filename=x.jpg\r\n\r\nx\r\n--inner--"
    nested = part('Content-Disposition: form-data; name="f"\r\nContent-Type: multipart/mixed; boundary=inner', inner)
    assert "parts within a part" in broken(nested + b"--limit--")


def test_limit_of_parts() -> None:
    parts = file() + field("a", "b") * (forms.MAX_PARTS - 1)
    assert read_form(parts).image == PHOTO
    assert "more than 100 parts" in broken(parts + field("a", "b") + b"--limit--")
    assert "more than 100 parts" in broken(b"\r\n--limit" * 500_000 + b"--")


def test_limit_of_part_headers() -> None:
    head = 'Content-Disposition: form-data; name="file"; filename="x.jpg"\r\nX: '
    longest = head + "x" * (forms.MAX_HEADER_BYTES - len(head))
    assert read_form(part(longest)).image == PHOTO
    assert "more than 8 KB of headers" in broken(part(longest + "x") + b"--limit--")


@pytest.mark.parametrize("write", ["form", "raw", "json"])
def test_size_limit(write: str) -> None:
    def sent(data: bytes) -> Upload:
        if write == "json":
            return read_json({"image": base64.b64encode(data).decode()})
        return read_form(file(data=data)) if write == "form" else read_raw(data, "image/jpeg")

    assert len(sent(bytes(MAX_BYTES)).image) == MAX_BYTES
    with pytest.raises(TooLarge, match=r"more than 4\.5 MB"):
        sent(bytes(MAX_BYTES + 1))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("top", value)
        for value in ("", "0", "21", "-1", "1.0", "x", "nan", "0x1", "\u0661", "²", "1_0", " 1", "9" * 5000)
    ]
    + [("threshold", value) for value in ("", "nan", "inf", "1e999", "-1e-9", "1.0001", "0x1", "\u0661", "0_1", "0,5")]
    + [("threshold", value) for value in (".", "e", "1e", "--1", "0." + "0" * 5000)]
    + [("strictness", value) for value in ("", "0", "0.2", "5", "-1", "nan", "0,1", "1 %", "1_0", "\u0661", "1" * 5000)]
    + [("faces", value) for value in ("", "both", "ALL", "all ")],
)
def test_parameters_out_of_range(name: str, value: str) -> None:
    with pytest.raises(BadParameter, match=f"`{name}` is"):
        read_raw(PHOTO, "image/jpeg", **{name: value})


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("1", 1), ("1.", 1), (".5", 0.5), ("1e-3", 0.001), ("-0", 0)])
def test_thresholds(text: str, number: float) -> None:
    assert read_raw(PHOTO, "image/jpeg", threshold=text).options.threshold == number


@pytest.mark.parametrize(
    ("text", "share"),
    [("0.1", 0.1), ("0.3", 0.3), ("1", 1), ("3", 3), ("1.0", 1), ("3.00", 3), (".1", 0.1), ("1e-1", 0.1)],
)
@pytest.mark.parametrize("write", ["field", "form", "raw", "json"])
def test_strictness(write: str, text: str, share: float) -> None:
    body, kind = {
        "field": (field("strictness", text) + file() + b"--limit--", FORM),
        "form": (file() + b"--limit--", FORM),
        "raw": (PHOTO, "image/jpeg"),
        "json": (b'{"image": "eA=="}', "application/json"),
    }[write]
    query = {} if write == "field" else {"strictness": text}
    assert read_raw(body, kind, **query).options == IdentifyOptions(strictness=share)


def test_wrong_strictness_is_told_the_values() -> None:
    with pytest.raises(BadParameter, match=r"^`strictness` is one of 0\.1, 0\.3, 1, 3\.$"):
        read_form(field("strictness", "0.2"), file())


def test_parameter_given_twice() -> None:
    """A REST API lists the values, an HTTP API joins them with commas."""
    event = request("POST", "/classify", PHOTO, "image/jpeg", top="3")
    event["multiValueQueryStringParameters"] = {"top": ["5", "3"]}
    with pytest.raises(BadParameter, match="`top` is given more than once"):
        read_event(event)
    event.update(multiValueQueryStringParameters=None, queryStringParameters={"top": "5,3"})
    event.update(version="2.0", rawPath="/classify", requestContext={"http": {"method": "POST"}})
    with pytest.raises(BadParameter):
        read_event(event)
    with pytest.raises(BadParameter, match="`top` is given more than once"):
        read_form(field("top", "3"), field("top", "3"), file())


def test_load_balancer_that_sends_lists() -> None:
    event = request("POST", "/classify", file() + b"--limit--", FORM, top="3")
    del event["headers"], event["queryStringParameters"]
    event["requestContext"] = {"elb": {}}
    assert read_event(event) == Upload("x.jpg", PHOTO, IdentifyOptions(top=3))


SLOW = {
    "dashes": b"--limit\r\n" + b"-" * 4_500_000 + b"\r\n--limit--",
    "nearly the boundary": b"--limit\r\n\r\n" + b"\r\n--limi" * 600_000 + b"\r\n--limit--",
    "header lines": b"".join(part(b"a:\r\n" * 2000, b"") for _ in range(100)) + b"--limit--",
    "folded header": part(b"X: " + b"x" * 8_000 + b"\r\n " * 1_400_000, b"") + b"--limit--",
    "folded headers": part(b"X: " + b"x" * 4_000 + b"\r\n " * 1_300, b"") * 100 + b"--limit--",
    "semicolons": b"".join(part(b'Content-Disposition: x; filename="' + b";" * 8_000) for _ in range(100))
    + b"--limit--",
    "open quotes": b"".join(part(b"Content-Disposition: x" + b';a="' * 2000) for _ in range(100)) + b"--limit--",
    "backslashes": b"".join(part(b'Content-Disposition: x; a="' + b"\\" * 8_000) for _ in range(100)) + b"--limit--",
}


@pytest.mark.parametrize("body", SLOW.values(), ids=SLOW)
def test_slow_forms_are_parsed_in_limited_time(body: bytes) -> None:
    started = time.process_time()
    with suppress(ApiError):
        read_raw(body, FORM)
    assert time.process_time() - started < 3


def test_limits_match_the_messages() -> None:
    assert (uploads.MAX_BYTES, forms.MAX_PARTS, forms.MAX_HEADER_BYTES) == (4_500_000, 100, 8_192)
