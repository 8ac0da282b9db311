"""The native dialect's routes for people and collections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api import bodies, uploads
from api.dialect import Reply
from api.dialects import native
from api.errors import BadParameter, BadRequest
from api.keys import Access
from api.lambda_events import Request
from api.parameters import Values, check_collection, check_text, parse_collection, parse_id, parse_page, single
from api.router import Route
from service.errors import UnknownPerson

if TYPE_CHECKING:  # the service imports torch
    from service.galleries import Galleries
    from service.people import PeopleService


def people_routes(service: PeopleService) -> tuple[Route, ...]:
    def list_people(request: Request) -> Reply:
        after, limit = parse_page(request.query)
        return Reply.of_json(native.people(service.people(parse_collection(request.query), after, limit)))

    def add(request: Request) -> Reply:
        photos, values = uploads.read_person(request)
        name = check_text("name", single(values, "name"))
        found = service.add(parse_collection(values), name, _external_id(values), photos)
        return Reply.of_json(native.enrolment(found), 201)

    def get(request: Request) -> Reply:
        return Reply.of_json(native.person(service.person(parse_collection(request.query), _person_id(request))))

    def update(request: Request) -> Reply:
        collection, person_id = parse_collection(request.query), _person_id(request)
        content = bodies.read_json(request)
        changed = {"name", "external_id"} & set(content)
        if "into" in content:
            if changed:
                raise BadRequest("A merge takes `into` alone: rename in a request of its own.")
            return Reply.of_json(native.person(service.merge(collection, person_id, _into(content["into"]))))
        if not changed:
            raise BadRequest("The JSON body has neither `name` nor `external_id` nor `into`.")
        name = check_text("name", content["name"]) if "name" in changed else None
        given = content.get("external_id")
        external_id = None if given is None else check_text("external_id", given)
        keep = "external_id" not in changed
        found = service.update(collection, person_id, name, external_id, keep_external=keep)
        return Reply.of_json(native.person(found))

    def delete(request: Request) -> Reply:
        return Reply.of_json({"deleted_faces": service.delete(parse_collection(request.query), _person_id(request))})

    def list_faces(request: Request) -> Reply:
        faces = native.person(service.person(parse_collection(request.query), _person_id(request)))["faces"]
        return Reply.of_json({"faces": faces, "count": len(faces)})

    def add_faces(request: Request) -> Reply:
        person_id = _person_id(request)
        photos, values = uploads.read_photos(request)
        found = service.add_faces(parse_collection(values), person_id, photos)
        return Reply.of_json(native.enrolment(found), 201 if found.added else 200)

    def delete_face(request: Request) -> Reply:
        face_id = request.path_parameters["face"].lower()
        service.delete_face(parse_collection(request.query), _person_id(request), face_id)
        return Reply.of_json({"deleted_faces": 1})

    return (
        Route("GET", "/people", list_people),
        Route("POST", "/people", add, Access.ADMIN),
        Route("GET", "/people/{id}", get),
        Route("PATCH", "/people/{id}", update, Access.ADMIN),
        Route("DELETE", "/people/{id}", delete, Access.ADMIN),
        Route("GET", "/people/{id}/faces", list_faces),
        Route("POST", "/people/{id}/faces", add_faces, Access.ADMIN),
        Route("DELETE", "/people/{id}/faces/{face}", delete_face, Access.ADMIN),
    )


def collection_routes(galleries: Galleries) -> tuple[Route, ...]:
    def list_all(_: Request) -> Reply:
        found = galleries.list()
        return Reply.of_json({"collections": [native.collection(each) for each in found], "count": len(found)})

    def create(request: Request) -> Reply:
        name = _collection(request)
        created = galleries.create(name)
        return Reply.of_json(native.collection(galleries.find(name)), 201 if created else 200)

    def get(request: Request) -> Reply:
        return Reply.of_json(native.collection(galleries.find(_collection(request))))

    def delete(request: Request) -> Reply:
        last = galleries.delete(_collection(request))
        return Reply.of_json({"deleted_people": last.people, "deleted_faces": last.faces})

    return (
        Route("GET", "/collections", list_all),
        Route("PUT", "/collections/{collection}", create, Access.ADMIN),
        Route("GET", "/collections/{collection}", get),
        Route("DELETE", "/collections/{collection}", delete, Access.ADMIN),
    )


def _person_id(request: Request) -> int:
    person_id = parse_id(request.path_parameters["id"])
    if person_id is None:
        raise UnknownPerson("The ID of a person is a whole number.")
    return person_id


def _collection(request: Request) -> str:
    return check_collection(request.path_parameters["collection"])


def _external_id(values: Values) -> str | None:
    given = single(values, "external_id")
    return None if given is None else check_text("external_id", given)


def _into(value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadParameter("`into` is the ID of a person.")
    return value
