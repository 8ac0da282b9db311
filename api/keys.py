"""Keys of a deployment: the reader's, and the administrator's, who may also change collections."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from enum import Enum

from api.errors import ManagementOff, Unauthorized
from api.lambda_events import Request


class Access(Enum):
    """The keys that allow a request."""

    PUBLIC = "everybody"
    READER = "reader"
    ADMIN = "administrator"


@dataclass(frozen=True)
class Keys:
    """reader: empty if everybody may read; admin: empty if nobody may change anything."""

    reader: str = ""
    admin: str = ""

    def check_request(self, request: Request, access: Access) -> None:
        """Check the key in the header of a request. Raises as `check`."""
        self.check(request.headers.get("x-api-key", ""), access)

    def allows(self, given: str) -> bool:
        """Tell whether a key is one of the two."""
        is_admin, is_reader = same(given, self.admin), same(given, self.reader)
        return is_admin or is_reader

    def check(self, given: str, access: Access) -> None:
        """Check a key, "" for none. Raises ManagementOff, Unauthorized."""
        if access is Access.ADMIN and not self.admin:
            raise ManagementOff("Changes are switched off: set ADMIN_KEY when you deploy the service.")
        if access is Access.ADMIN and not same(given, self.admin):
            raise Unauthorized("This needs the administrator's key: send it as the header X-Api-Key.")
        if access is Access.READER and self.reader and not self.allows(given):
            raise Unauthorized("This needs an API key: send it as the header X-Api-Key.")


def same(given: str, key: str) -> bool:
    """Tell whether a key is the right one, which is never the empty one."""
    # In constant time, so that response times do not tell how much of a key is right.
    equal = hmac.compare_digest(given.encode("utf-8", "surrogatepass"), key.encode())
    return equal and bool(key)
