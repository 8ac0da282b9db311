"""The gateway of `make run` in a thread, and a REST API with the keys of a usage plan."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import Any, Collection, Iterator, Mapping

from scripts.gateway import Answer, Gateway, Refused
from scripts.proxy_events import HttpRequest, HttpResponse, resource_of

Routes = Mapping[str, Mapping[str, bool]]  # path of a resource -> method or ANY -> whether it needs a key
EVERY_ROUTE: Routes = {"/": {"ANY": False}, "/{proxy+}": {"ANY": False}}


class KeyedGateway(Gateway):
    """A gateway that checks routes and keys, as with `--param keys=on`."""

    def __init__(
        self, answer: Answer, routes: Routes = EVERY_ROUTE, keys: Collection[str] = (), **settings: Any
    ) -> None:
        """keys: of the usage plan, for methods that need one; settings: of Gateway."""
        super().__init__(answer, **settings)
        self._routes, self._keys = routes, keys

    def respond(self, request: HttpRequest, route: str) -> HttpResponse:
        methods = self._routes.get(resource_of(route), {})
        needs_key = methods.get(request.method, methods.get("ANY"))
        if needs_key is None:
            raise Refused(403, {"message": "Missing Authentication Token"}, "there is no such route")
        if needs_key and request.header("X-Api-Key") not in self._keys:
            raise Refused(403, {"message": "Forbidden"}, "the key is missing or wrong")
        return super().respond(request, route)


@contextmanager
def serving(answer: Answer, **settings: Any) -> Iterator[str]:
    """Serve a function on a free port and yield the URL. answer: event -> result; settings: of KeyedGateway."""
    with KeyedGateway(answer, **settings) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))  # seconds until it sees the shutdown
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()
