"""Cross-origin resource sharing: the pages that may read responses."""

from __future__ import annotations

from dataclasses import dataclass

# Of this page, CompreFace's SDK (X-Api-Key), and signed requests, whether the gateway or the service checks them.
ALLOWED_HEADERS = (
    "Amz-Sdk-Invocation-Id,Amz-Sdk-Request,Authorization,Content-Type,X-Amz-Content-Sha256,X-Amz-Date,"
    "X-Amz-Security-Token,X-Amz-Target,X-Amz-User-Agent,X-Api-Key"
)
MAX_AGE = 600  # seconds for which a browser may keep the answer to a preflight request
ANY = "*"


@dataclass(frozen=True)
class Cors:
    """origins: of the pages that may read responses, or ANY alone."""

    origins: tuple[str, ...] = (ANY,)

    def headers(self, origin: str | None) -> dict[str, str]:
        """Return the headers of a response. origin: the request's Origin header."""
        if ANY in self.origins:
            return {} if origin is None else self._allow(ANY)
        vary = {"Vary": "Origin"}  # or a cache would give one page the response to another
        return {**vary, **self._allow(origin)} if origin and origin in self.origins else vary

    def _allow(self, origin: str) -> dict[str, str]:
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Headers": ALLOWED_HEADERS,
            "Access-Control-Max-Age": str(MAX_AGE),
        }
