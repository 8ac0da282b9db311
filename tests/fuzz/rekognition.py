"""Requests of Rekognition's clients: all operations with right and wrong fields, signed, forged or not signed."""

from __future__ import annotations

import base64
import json
from functools import lru_cache
from random import Random
from typing import Any, Callable

import botocore.session
from botocore.model import ServiceModel

from api.dialects.rekognition import ADMIN_ID, READER_ID
from tests.clients.programs.service_model import deviations, error_deviations
from tests.fuzz import engine
from tests.fuzz.deployment import ADMIN, BUCKETS, FACE, OBJECTS, READER, TOKEN, photo
from tests.fuzz.forgeries import FORGERIES
from tests.fuzz.sending import HOST

CHANGES = {
    *("CreateCollection", "DeleteCollection", "IndexFaces", "DeleteFaces"),
    *("CreateUser", "DeleteUser", "AssociateFaces", "DisassociateFaces"),
}
READS = {
    *("DescribeCollection", "ListCollections", "ListFaces", "SearchFaces", "SearchFacesByImage", "CompareFaces"),
    *("DetectFaces", "ListUsers", "SearchUsers", "SearchUsersByImage"),
}
# Faces must be added more often than they are deleted.
OPERATIONS = (
    *sorted(CHANGES | READS),
    *("IndexFaces",) * 6,
    *("AssociateFaces",) * 3,
    "CreateCollection",
    "CreateUser",
)
SIGNATURE_ERRORS = {
    *("MissingAuthenticationToken", "UnrecognizedClientException"),
    *("IncompleteSignatureException", "InvalidSignatureException"),
}
TARGETS = ("", "ListFaces", "RekognitionService", "RekognitionService.", "rekognitionservice.ListFaces", "é")

COLLECTIONS = (*("people", "team", "team", "team", "a.b") * 4, "lfw", "never", "x" * 255)
USERS = ("ada", "grace", "u:1", "_.-:", "x" * 128)
LABELS = (*USERS, "x" * 255)
VALUES: dict[str, Callable[[Random], Any]] = {
    "CollectionId": lambda random: random.choice(COLLECTIONS),
    "UserId": lambda random: random.choice(USERS),
    "ExternalImageId": lambda random: random.choice(LABELS),
    "FaceId": lambda random: FACE,
    "FaceIds": lambda random: [FACE] * random.choice((1, 1, 1, 3)),
    "NextToken": lambda random: TOKEN,
    "ClientRequestToken": lambda random: random.choice(("a", "A-_0" * 16)),
    "MaxFaces": lambda random: random.choice((1, 2, 10, 4096)),
    "MaxResults": lambda random: random.choice((1, 1, 2, 3, 500)),
    "MaxUsers": lambda random: random.choice((1, 2, 500)),
    "QualityFilter": lambda random: random.choice(("NONE", "NONE", "AUTO", "LOW", "MEDIUM", "HIGH")),
    "Attributes": lambda random: random.choice((["ALL"], ["DEFAULT"], ["DEFAULT", "SMILE"])),
    "DetectionAttributes": lambda random: ["ALL"],
    "Tags": lambda random: {"team": "a"},
    **dict.fromkeys(
        ("FaceMatchThreshold", "UserMatchThreshold", "SimilarityThreshold"),
        lambda random: random.choice((0, 0, 1e-9, 50, 80.5, 99.9, 100, 100.0)),
    ),
    **dict.fromkeys(("Image", "SourceImage", "TargetImage"), lambda random: _image(random)),
}
SCALARS = (None, True, False, 0, 1, -1, 0.5, 4097, 2**31, 2**63, 10**400, 1e300, float("nan"), float("inf"), -0.0)
TEXTS = (
    *("", " ", "a b", "a/b", "..", "é", "山田", "\ud800", "\x00", "\u202e", "%", "1", "null", "x" * 256, "x" * 100_000),
    *("11111111-1111-4111-8111-111111111111", "11111111-1111-4111-8111-11111111111A", "{", "AAAAAHRlYW0", "team"),
)
NESTED: tuple[Any, ...] = ([], {}, [None], [[]] * 300, {"S": {"a": [1]}}, ["a"] * 5000, {"a": "b"}, [1, "a", None])
BODIES = (
    *(b"", b"null", b"[]", b"1", b'""', b"{", b"{}", b'{"CollectionId"', b"\xff\xfe", b"\xef\xbb\xbf{}", b"{} {}"),
    *(b"[" * 100_000, b'{"a":' * 100_000, b'{"CollectionId": "team", "CollectionId": "people"}', b'{"\xff": 1}'),
    b'{"MaxResults": ' + b"9" * 20_000 + b"}",
)
# Wrong fields of a signature.
WRONG: dict[str, tuple[Any, ...]] = {
    "key_id": ("AKIDEXAMPLE", "facerecognitionadmin", "x" * 1000, "é"),
    "secret": (READER, ADMIN, "", "key of nobody"),
    "service": ("s3", "execute-api", "lambda", "Rekognition"),
    "age": (310, -310, 3600, -3600, 86_400, 10**8),
    "day": ("20150830", "20991231", "00000000"),
    "uncovered": (["host"], ["x-amz-date"], ["x-amz-target"], ["host", "x-amz-date", "x-amz-target"]),
}


@lru_cache(maxsize=1)
def service() -> ServiceModel:
    """botocore's model of the service."""
    return botocore.session.get_session().get_service_model("rekognition")


def make_case(random: Random) -> dict[str, Any]:
    """Make a request, see tests/fuzz/dialects.py, and tell how it is to be signed and changed after that.

    signature: fields of Signature, with its age in seconds in place of the date, None for an unsigned request;
    forgery: one of FORGERIES, or None; hashed: length and digest of the body are signed headers; verified: the
    signature is right; admin: it is the administrator's; operation: empty if it is not named rightly;
    well_formed: the body is as the service model has it.
    """
    operation, body, is_well_formed = _request(random)
    is_named = random.random() < 0.97
    target = f"RekognitionService.{operation}" if is_named else random.choice(TARGETS)
    headers = {"Host": HOST, "Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target}
    if random.random() < 0.3:
        headers.update({"amz-sdk-request": "attempt=1; max=3", "X-Custom": "a  b"})
    return {
        "path": "/",
        "query": [["a", "b c"]] if random.random() < 0.03 else [],
        "headers": headers,
        "method": "POST",
        "body": body.decode("latin-1"),
        "operation": operation if is_named else "",
        "well_formed": is_well_formed,
        "hashed": random.random() < 0.3,
        **_signature(random),
    }


def _request(random: Random) -> tuple[str, bytes, bool]:
    """-> operation, body, and whether the body is well-formed."""
    operation = random.choice(OPERATIONS)
    if random.random() < 0.03:
        operation = random.choice(service().operation_names)
    content = _content(random, operation)
    damage = random.choice((*[""] * 13, *["fields"] * 9, "body"))
    if damage == "fields":
        content = _damaged(random, content)
    body = json.dumps(content).encode()
    if damage == "body":
        body = random.choice((random.choice(BODIES), engine.mutated(random, body, engine.BODIES)))
    return operation, body, not damage


def _content(random: Random, operation: str) -> dict[str, Any]:
    """Make the fields of an operation: all that are required and some others."""
    shape = service().operation_model(operation).input_shape
    required = set(shape.required_members) if shape else set()
    if operation == "SearchUsers":
        required.add(random.choice(("UserId", "FaceId")))
    fields = [name for name in (shape.members if shape else ()) if name in required or _is_added(random, name)]
    content = {name: VALUES[name](random) for name in fields if name in VALUES}
    if operation == "DeleteCollection" and random.random() < 0.98:
        content["CollectionId"] = random.choice(("a.b", "never"))
    return content


def _is_added(random: Random, name: str) -> bool:
    return random.random() < (0.1 if name in ("UserId", "FaceId", "FaceIds") else 0.5)


def _damaged(random: Random, content: dict[str, Any]) -> dict[str, Any]:
    """Change or remove one of the fields, or add another."""
    name = random.choice([*content, *content, *VALUES, "Unknown", ""])
    wrong = random.choice((*SCALARS, *TEXTS, *NESTED))
    image = content.get(name)
    if isinstance(image, dict) and name.endswith("Image") and random.random() < 0.7:
        return {**content, name: _damaged_image(random, image, wrong)}
    if random.random() < 0.2:
        return {key: value for key, value in content.items() if key != name}
    if name == "FaceIds" and random.random() < 0.5:
        wrong = [FACE, random.choice((*SCALARS, *TEXTS))]
    return {**content, name: wrong}


def _damaged_image(random: Random, image: dict[str, Any], wrong: Any) -> dict[str, Any]:
    name = random.choice(("Bytes", "Bytes", "S3Object", "Bucket", "Name", "Version", "Both"))
    if name == "Both":
        return {**image, **_image(random)}
    if name in ("Bytes", "S3Object"):
        return {name: wrong}
    return {"S3Object": {"Bucket": BUCKETS[0], "Name": "photo", name: wrong}}


def _image(random: Random) -> dict[str, Any]:
    if random.random() < 0.2:
        place = {"Bucket": random.choice((*BUCKETS, *BUCKETS, "others", "")), "Name": random.choice(OBJECTS)}
        return {"S3Object": {**place, **random.choice(({}, {}, {"Version": "1"}))}}
    encoded = base64.b64encode(photo(random)).decode()
    return {"Bytes": "A" * 7_000_000 if random.random() < 0.0005 else encoded}


def _signature(random: Random) -> dict[str, Any]:
    """Tell how a request is signed, and whether that is right."""
    is_admin, right = random.random() < 0.75, random.random() < 0.75
    secret = ADMIN if is_admin else READER
    signature = {"key_id": ADMIN_ID if is_admin else READER_ID, "secret": secret, "age": random.uniform(-290, 290)}
    case = {"signature": signature, "forgery": None, "verified": right, "admin": is_admin and right}
    if right:
        return case
    wrong = random.choice(("none", "forgery", "forgery", "forgery", *WRONG))
    if wrong == "none":
        return {**case, "signature": None}
    if wrong == "forgery":
        return {**case, "forgery": random.choice(sorted(FORGERIES))}
    return {**case, "signature": {**signature, wrong: random.choice([each for each in WRONG[wrong] if each != secret])}}


def check(case: dict[str, Any], status: int, body: Any) -> None:
    """Check a response. Raises AssertionError."""
    code = body.get("__type") if status >= 400 else None
    if not case["verified"]:
        assert code in SIGNATURE_ERRORS or (code and case["event"]), f"answered in spite of its signature: {body}"
    elif not case["event"]:
        assert code not in SIGNATURE_ERRORS, f"refused for its signature: {body}"
    if case["event"]:
        return
    assert not (case["well_formed"] and code == "SerializationException"), f"refused for its fields: {body}"
    if case["verified"] and not case["admin"] and case["operation"] in CHANGES:
        assert code == "AccessDeniedException", f"a reader may not do this: {body}"
    known = case["operation"] in CHANGES | READS
    operation = service().operation_model(case["operation"] if known else "ListFaces")
    if status == 200:
        assert known, f"{case['operation']} is not offered"
        wrong = list(deviations(operation.output_shape, body))
    else:
        assert body["message"], "the error says nothing"
        wrong = list(error_deviations(operation, status, body))
    assert not wrong, f"{wrong[:3]} in {str(body)[:1000]}"
