"""Errors of the wire format. api/problems.py gives each its HTTP status and code.

ApiError
├── BadRequest         the request cannot be read
├── EmptyUpload        a photo without bytes, or no file chosen
├── BadParameter       a parameter out of range or given twice
├── Unauthorized       the key is missing or wrong
├── ManagementOff      the deployment has no administrator's key, so nothing can be changed
├── NotFound           no route has this path
├── MethodNotAllowed   the path exists, but not with this method
├── TooLarge           the photo or the response has too many bytes
└── DialectError       an error that a dialect names itself
"""

from __future__ import annotations


class ApiError(Exception):
    """The message is a sentence for the caller."""


class BadRequest(ApiError):
    pass


class EmptyUpload(ApiError):
    pass


class BadParameter(ApiError):
    pass


class Unauthorized(ApiError):
    pass


class ManagementOff(ApiError):
    pass


class NotFound(ApiError):
    pass


class MethodNotAllowed(ApiError):
    def __init__(self, allowed: str) -> None:
        """allowed: the path's methods, as the Allow header lists them."""
        super().__init__(f"This path takes {allowed}.")
        self.allowed = allowed


class TooLarge(ApiError):
    pass


class DialectError(ApiError):
    def __init__(self, code: str, message: str, status: int = 400) -> None:
        """code: of the dialect, in which the response is encoded too."""
        super().__init__(message)
        self.code, self.status = code, status
