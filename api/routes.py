"""The native dialect's routes: each connects a request to a use case. Those for people are in api/people_routes.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api import bodies, contract, uploads
from api.dialect import Reply
from api.dialects import native
from api.errors import BadParameter
from api.keys import Access
from api.lambda_events import Request, Response
from api.parameters import parse_embedding, parse_options
from api.people_routes import collection_routes, people_routes
from api.router import Route

if TYPE_CHECKING:  # the service imports torch
    from service.faces import FaceService
    from service.services import Services


SEARCH_OPTIONS = ("top", "threshold", "strictness", "collection")  # which the JSON object may have


def native_routes(services: Services) -> tuple[Route, ...]:
    return (
        *recognition_routes(services.faces),
        *people_routes(services.people),
        *collection_routes(services.galleries),
    )


def recognition_routes(service: FaceService) -> tuple[Route, ...]:
    def classify(request: Request) -> Reply:
        name, image, options = uploads.read(request)
        found = service.identify(image, options)
        body = native.identification(name, found, request.request_id, all_faces=options.all_faces)
        return Reply(Response.of_json(body), found)

    def detect(request: Request) -> Reply:
        name, image, _ = uploads.read(request)
        return Reply.of_json(native.detection(name, service.detect(image), request.request_id))

    def compare(request: Request) -> Reply:
        source, target, options = uploads.read_pair(request)
        return Reply.of_json(native.comparison(service.compare(source, target, options), request.request_id))

    def embed(request: Request) -> Reply:
        name, image, options = uploads.read(request)
        return Reply.of_json(native.embedding(name, service.embed(image, options), request.request_id))

    def search(request: Request) -> Reply:
        content = bodies.read_json(request)
        given = {name: [_text(content[name])] for name in SEARCH_OPTIONS if name in content}
        options = parse_options({**given, **request.query})
        found = service.search(parse_embedding(content.get("embedding")), options)
        return Reply.of_json(native.search(found, request.request_id))

    def health(_: Request) -> Reply:
        return Reply.of_json(native.health(service.model()))

    def openapi(_: Request) -> Reply:
        return Reply.of_json(contract.document())

    return (
        Route("POST", "/classify", classify),
        Route("POST", "/detect", detect),
        Route("POST", "/compare", compare),
        Route("POST", "/embed", embed, Access.ADMIN),
        Route("POST", "/search", search),
        # Load balancers and monitors ask for the one, and the other tells how to call the rest.
        Route("GET", "/health", health, Access.PUBLIC),
        Route("GET", "/openapi.json", openapi, Access.PUBLIC),
    )


def _text(value: Any) -> str:
    """Return a JSON value as the text of a parameter. Whole numbers may have a fraction of zero."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise BadParameter(f"{', '.join(f'`{name}`' for name in SEARCH_OPTIONS)} are text or numbers.")
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
