"""The native dialect's routes: each connects a request to a use case of the service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api import contract, uploads
from api.dialects import native
from api.lambda_events import Request, Response
from api.router import Reply, Route

if TYPE_CHECKING:  # the service imports torch
    from service.faces import FaceService


def native_routes(service: FaceService) -> tuple[Route, ...]:
    def classify(request: Request) -> Reply:
        name, image, options = uploads.read(request)
        found = service.identify(image, options)
        body = native.identification(name, found, request.request_id, all_faces=options.all_faces)
        return Reply(Response.of_json(body), found)

    def people(_: Request) -> Reply:
        return Reply(Response.of_json(native.people(service.people().people)))

    def health(_: Request) -> Reply:
        return Reply(Response.of_json(native.health(service.model())))

    def openapi(_: Request) -> Reply:
        return Reply(Response.of_json(contract.document()))

    return (
        Route("POST", "/classify", classify),
        Route("GET", "/people", people),
        # Load balancers and monitors ask for the one, and the other tells how to call the rest.
        Route("GET", "/health", health, public=True),
        Route("GET", "/openapi.json", openapi, public=True),
    )
