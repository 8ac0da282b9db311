"""Changes of requests after they were signed. None leaves the signature valid for the secret of its access key."""

from __future__ import annotations

from random import Random
from typing import Callable

from tests.fuzz.sending import Sent

Forge = Callable[[Random, Sent], Sent]

OTHER_SCHEMES = (
    "AWS4-HMAC-SHA1",
    "AWS4-HMAC-SHA512",
    "AWS4-ECDSA-P256-SHA256",
    "aws4-hmac-sha256",
    "AWS4-HMAC-SHA256x",
    "Bearer",
    "Basic",
    "AWS",
    "",
)
OTHER_KEY_IDS = ("FACERECOGNITIONREADER", "FACERECOGNITIONADMIN", "AKIDEXAMPLE", "")
OTHER_SCOPES = (("20150830", "2026", ""), ("us-west-1", ""), ("s3", "execute-api", ""), ("aws5_request", ""))


def forge(kind: str, random: Random, sent: Sent) -> Sent:
    """Change a signed request. kind: one of FORGERIES."""
    while True:
        forged = FORGERIES[kind](random, sent)
        if forged != sent:
            return forged


def signed_names(sent: Sent) -> list[str]:
    """List the names of the headers that are signed, in lower case."""
    return sent.headers["Authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")


def _body(random: Random, sent: Sent) -> Sent:
    at = random.randrange(len(sent.body) + 1)
    return sent._replace(body=random.choice((sent.body[:at] + b" " + sent.body[at:], b"", b"{}")))


def _header(random: Random, sent: Sent) -> Sent:
    name = random.choice(_present(sent))
    value = sent.headers[name]
    return _with(sent, name, random.choice((f"{value}x", f"x{value}", value.swapcase(), value[:-1], "", "\ud800")))


def _dropped(random: Random, sent: Sent) -> Sent:
    return _with(sent, random.choice(_present(sent)), None)


def _target(random: Random, sent: Sent) -> Sent:
    name = random.choice(("DeleteCollection", "ListFaces", "CreateCollection", "", "listFaces"))
    return sent.changed(X_Amz_Target=f"RekognitionService.{name}")


def _date(random: Random, sent: Sent) -> Sent:
    given = sent.headers["X-Amz-Date"]
    other = f"{given[:-2]}{(int(given[-2]) + 1) % 10}Z"
    return sent.changed(
        X_Amz_Date=random.choice((other, given[:-1], given.lower(), "", "2026-11-30T12:00:00Z", "today"))
    )


def _digits(random: Random, sent: Sent) -> Sent:
    given = sent.headers["Authorization"]
    at = len(given) - 1 - random.randrange(64)
    digit = random.choice([each for each in "0123456789abcdefAgé\u0660" if each != given[at]])
    return sent.changed(Authorization=random.choice((given[:at] + digit + given[at + 1 :], given[:at], given + digit)))


def _part(random: Random, sent: Sent) -> Sent:
    scheme, _, rest = sent.headers["Authorization"].partition(" ")
    parts = rest.split(", ")
    del parts[random.randrange(3)]
    return sent.changed(Authorization=random.choice((f"{scheme} {', '.join(parts)}", rest, scheme, "", ",")))


def _scheme(random: Random, sent: Sent) -> Sent:
    rest = sent.headers["Authorization"].partition(" ")[2]
    return sent.changed(Authorization=f"{random.choice(OTHER_SCHEMES)} {rest}")


def _key_id(random: Random, sent: Sent) -> Sent:
    key_id, *_ = _scope_of(sent)
    other = random.choice([other for other in OTHER_KEY_IDS if other != key_id])
    return sent.changed(Authorization=sent.headers["Authorization"].replace(f"={key_id}/", f"={other}/"))


def _scope(random: Random, sent: Sent) -> Sent:
    """Change day, region or service in the scope, or the text at its end."""
    parts = _scope_of(sent)
    at = random.randrange(1, len(parts))
    changed = [*parts[:at], random.choice(OTHER_SCOPES[at - 1]), *parts[at + 1 :]]
    return sent.changed(Authorization=sent.headers["Authorization"].replace("/".join(parts), "/".join(changed)))


def _signed_headers(random: Random, sent: Sent) -> Sent:
    names = signed_names(sent)
    other = random.choice((names[1:], names[:-1], [*names, "accept"], [*names, names[0]], names[::-1], ["host"], []))
    given = sent.headers["Authorization"]
    return sent.changed(Authorization=given.replace(";".join(names), ";".join(other)))


def _query(random: Random, sent: Sent) -> Sent:
    if sent.query and random.random() < 0.5:
        (name, value), *others = sent.query
        changed = random.choice(((), ((name, f"{value}x"),), ((f"{name}x", value),)))
        return sent._replace(query=(*changed, *others))
    return sent._replace(query=(*sent.query, random.choice((("new", ""), ("new", "1"), ("", "new"), ("\u00e9", "%")))))


def _path(random: Random, sent: Sent) -> Sent:
    added = random.choice(("x", "/x/", "%20", "/..", "/.x", ";", "\u00e9"))
    return sent._replace(path=sent.path.rstrip("/") + added)


def _digest(random: Random, sent: Sent) -> Sent:
    given = random.choice(("UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "0" * 64, ""))
    return sent.changed(X_Amz_Content_Sha256=given)


FORGERIES: dict[str, Forge] = {
    "body": _body,
    "header": _header,
    "dropped header": _dropped,
    "target": _target,
    "date": _date,
    "digits": _digits,
    "part": _part,
    "scheme": _scheme,
    "key ID": _key_id,
    "scope": _scope,
    "signed headers": _signed_headers,
    "query": _query,
    "path": _path,
    "digest": _digest,
}


def _scope_of(sent: Sent) -> list[str]:
    """Return key ID, day, region, service and the text at the end of the scope."""
    return sent.headers["Authorization"].partition("Credential=")[2].partition(",")[0].split("/")


def _present(sent: Sent) -> list[str]:
    """List the signed headers of a request, as they are written, without the length, which sources may drop."""
    names = set(signed_names(sent)) - {"content-length"}
    return [name for name in sent.headers if name.lower() in names]


def _with(sent: Sent, name: str, value: str | None) -> Sent:
    headers = dict(sent.headers)
    del headers[name]
    return sent._replace(headers=headers if value is None else {**headers, name: value})
