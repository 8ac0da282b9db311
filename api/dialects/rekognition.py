"""The dialect of Amazon Rekognition's clients: signed JSON requests at `POST /`, with the operation in a header.

An operation that is not offered is refused by name. Nothing is answered with invented data.
"""

from __future__ import annotations

from typing import Sequence

from api import signatures
from api.dialect import Dialect, Reply
from api.dialects.rekognition_fields import INVALID, TOO_LARGE, Fields, ReadObject
from api.dialects.rekognition_operations import Answer, Operation, Operations
from api.errors import DialectError
from api.keys import Access, Keys
from api.lambda_events import Request, Response
from api.problems import Problem
from storage.errors import CorruptData, StorageError, StorageUnreachable

# IDs of the access keys. The secrets are the keys of the deployment.
READER_ID, ADMIN_ID = "FACERECOGNITIONREADER", "FACERECOGNITIONADMIN"
TARGET = "RekognitionService."
SERVICE = "rekognition"

NO_FACE = "There are no faces in the image. Should be at least 1."  # clients look for this text
DENIED = "AccessDeniedException"
# Names of errors by the code of the native dialect. Other codes are names already.
NAMES = {
    **dict.fromkeys(("bad_request", "empty_upload", "bad_parameter", "no_face"), INVALID),
    **dict.fromkeys(("unauthorized", "management_off", "read_only"), DENIED),
    **dict.fromkeys(("unknown_collection", "unknown_person", "unknown_face"), "ResourceNotFoundException"),
    **dict.fromkeys(("not_found", "method_not_allowed"), "UnknownOperationException"),
    **dict.fromkeys(("unsupported_media_type", "unreadable_image"), "InvalidImageFormatException"),
    **dict.fromkeys(("internal", "model_unavailable"), "InternalServerError"),
    "conflict": "ThrottlingException",  # so that clients try again
    "exists": "ConflictException",
    "too_large": TOO_LARGE,
    "collection_full": "ServiceQuotaExceededException",
}


def dialect(operations: Operations, keys: Keys, buckets: Sequence[str], read_object: ReadObject) -> Dialect:
    """buckets: from which photos may be read with read_object, which raises StorageError."""
    read_allowed = PhotoBuckets(buckets, read_object)
    unknown = Operation(_unknown_operation)

    def answer(request: Request) -> Reply:
        target = request.headers.get("x-amz-target", "")
        name = target[len(TARGET) :] if target.startswith(TARGET) else ""
        operation = operations.get(name, unknown)
        authorize(request, operation.access, keys)
        content, outcome = operation.run(Fields.of(request, read_allowed))
        return Reply(_response(content, 200, request.request_id), outcome)

    return Dialect(answer, encode_problem)


def encode_problem(problem: Problem, request_id: str) -> Response:
    name = NAMES.get(problem.code, problem.code)
    message = NO_FACE if problem.code == "no_face" else problem.message
    status = 500 if problem.status >= 500 and name == "InternalServerError" else 400
    content = {"__type": name, "Message": message, "message": message}
    return _response(content, status, request_id)


def authorize(request: Request, access: Access, keys: Keys) -> None:
    """Check who signed a request. Raises DialectError. Without a reader's key everybody may read."""
    if access is Access.READER and not keys.reader and "authorization" not in request.headers:
        return
    scope = signatures.parse_authorization(request)
    if scope.access_key_id == ADMIN_ID and keys.admin:
        signatures.verify(request, scope, keys.admin, SERVICE)
        return
    if scope.access_key_id == READER_ID and keys.reader:
        signatures.verify(request, scope, keys.reader, SERVICE)
    elif keys.reader or scope.access_key_id == ADMIN_ID:
        reason = "needs ADMIN_KEY, which is not set" if scope.access_key_id == ADMIN_ID else "is unknown"
        raise DialectError("UnrecognizedClientException", f"The access key ID of the request {reason}.")
    if access is Access.ADMIN:
        reason = "This needs the administrator's key." if keys.admin else "Changes are switched off: set ADMIN_KEY."
        raise DialectError(DENIED, reason)


class PhotoBuckets:
    """Reads photos from a list of buckets."""

    def __init__(self, allowed: Sequence[str], read_object: ReadObject) -> None:
        self._allowed, self._read_object = frozenset(allowed), read_object

    def __call__(self, bucket: str, key: str, version: str | None) -> bytes:
        """Read an object. Raises DialectError, which does not tell whether bucket or object exist."""
        try:
            if bucket in self._allowed:
                return self._read_object(bucket, key, version)
        except StorageUnreachable as error:
            raise DialectError("InternalServerError", "The bucket cannot be reached now.", 500) from error
        except CorruptData as error:
            raise DialectError(TOO_LARGE, "The photo in the bucket has too many bytes.") from error
        except StorageError:
            pass
        raise DialectError("InvalidS3ObjectException", "The photo cannot be read from the bucket.")


def _unknown_operation(_: Fields) -> Answer:
    raise DialectError("UnknownOperationException", "This service does not offer the operation.")


def _response(content: object, status: int, request_id: str) -> Response:
    headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-RequestId": request_id}
    return Response.of_json(content, status, headers)
