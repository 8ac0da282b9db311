"""What a caller can be told, and the HTTP status that goes with it.

    ApiError                    status  code
    ├── BadRequest                 400  bad_request
    ├── EmptyUpload                400  empty_upload
    ├── BadParameter               400  bad_parameter
    ├── Unauthorized               401  unauthorized
    ├── NotFound                   404  not_found
    ├── MethodNotAllowed           405  method_not_allowed
    └── TooLarge                   413  too_large

Errors from further in carry a code of the same kind (model/errors.py); STATUS knows them all.
"""

from __future__ import annotations

STATUS = {
    "bad_request": 400,
    "empty_upload": 400,
    "bad_parameter": 400,
    "unauthorized": 401,
    "not_found": 404,
    "method_not_allowed": 405,
    "too_large": 413,
    "unsupported_media_type": 415,
    "unreadable_image": 422,
    "no_face": 422,
    "internal": 500,
    "model_unavailable": 503,
}


class ApiError(Exception):
    """The message is a plain sentence for the caller."""

    code: str


class BadRequest(ApiError):
    code = "bad_request"


class EmptyUpload(ApiError):
    code = "empty_upload"


class BadParameter(ApiError):
    code = "bad_parameter"


class Unauthorized(ApiError):
    code = "unauthorized"


class NotFound(ApiError):
    code = "not_found"


class MethodNotAllowed(ApiError):
    code = "method_not_allowed"


class TooLarge(ApiError):
    code = "too_large"
