"""Cross-origin resource sharing: the pages that may read responses."""

from __future__ import annotations

from dataclasses import dataclass

# Authorization and X-Amz-*: for an API whose gateway checks signatures.
ALLOWED_HEADERS = "Authorization,Content-Type,X-Amz-Date,X-Amz-Security-Token,X-Api-Key"
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
