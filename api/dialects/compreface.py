"""CompreFace's REST interface, below /api/v1: each route connects a request to a use case.

A subject is a person, whose name is compared without case, and an example is a face. A photo that can be enrolled has
one face, or one that is at least twice as large as the next one. Subjects of recognized faces are the candidates with
their calibrated confidence, also for strangers. Age, gender, pose and mask are not measured and left out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Mapping

from api import bodies
from api.dialect import Dialect, Reply
from api.dialects import compreface_requests as decode
from api.dialects import compreface_results as encode
from api.dialects.compreface_requests import ClientKeys, FaceOptions
from api.dialects.compreface_results import Embeddings, Json, View
from api.errors import DialectError
from api.keys import Access, Keys
from api.lambda_events import Request, Response
from api.router import Endpoint, Route, Router
from service.errors import UnknownCollection, UnknownFace, UnknownPerson
from service.results import IdentifyOptions, Size, UploadedPhoto

if TYPE_CHECKING:  # the service imports torch
    from service.enrolled_faces import EnrolledFaces
    from service.faces import FaceService
    from service.galleries import Galleries
    from service.named_people import NamedPeople
    from service.services import Services

PREFIX = "/api/v1"


def dialect(
    services: Services, named: NamedPeople, enrolled: EnrolledFaces, keys: Keys, collections: Mapping[str, str]
) -> Dialect:
    """collections: names by the keys of those clients that have a collection of their own."""
    clients = ClientKeys(keys, collections)
    routes = (
        *subject_routes(named, clients),
        *example_routes(named, enrolled, clients),
        *photo_routes(services.faces, enrolled, clients),
    )
    ours = [
        replace(route, path=PREFIX + route.path, endpoint=creating(route.endpoint, services.galleries, clients))
        for route in routes
    ]
    return Dialect(Router(ours, clients.check).answer, encode.encode_problem)


def creating(endpoint: Endpoint, galleries: Galleries, clients: ClientKeys) -> Endpoint:
    """Return an endpoint that creates the collection of a client's key when it is first used."""

    def answer(request: Request) -> Reply:
        try:
            return endpoint(request)
        except UnknownCollection:
            collection = clients.collection(request)
            if collection is None:
                raise
            galleries.create(collection)
            return endpoint(request)

    return answer


def subject_routes(named: NamedPeople, clients: ClientKeys) -> tuple[Route, ...]:
    def list_all(request: Request) -> Reply:
        return Reply.of_json({"subjects": named.names(clients.collection(request))})

    def create(request: Request) -> Reply:
        person = named.create(clients.collection(request), _new_name(request))
        return Reply.of_json({"subject": person.name}, 201)

    def rename(request: Request) -> Reply:
        return Reply.of_json({"updated": named.rename(clients.collection(request), _name(request), _new_name(request))})

    def delete(request: Request) -> Reply:
        name, _ = named.delete(clients.collection(request), _name(request))
        return Reply.of_json({"subject": name})

    def delete_all(request: Request) -> Reply:
        people, _ = named.delete_all(clients.collection(request))
        return Reply.of_json({"deleted": people})

    return (
        Route("GET", "/recognition/subjects", list_all),
        Route("POST", "/recognition/subjects", create, Access.ADMIN),
        Route("DELETE", "/recognition/subjects", delete_all, Access.ADMIN),
        Route("PUT", "/recognition/subjects/{subject}", rename, Access.ADMIN),
        Route("DELETE", "/recognition/subjects/{subject}", delete, Access.ADMIN),
    )


def example_routes(named: NamedPeople, enrolled: EnrolledFaces, clients: ClientKeys) -> tuple[Route, ...]:
    def list_all(request: Request) -> Reply:
        parameters, collection = decode.parse_parameters(request.query), clients.collection(request)
        if "subject" in parameters:
            faces = named.faces(collection, decode.find_subject(parameters["subject"]))
        else:
            faces = enrolled.list(collection)
        return Reply.of_json(encode.page(faces, decode.parse_page(parameters)))

    def add(request: Request) -> Reply:
        (image,), parameters = decode.read_photos(request, "file")
        min_confidence = decode.parse_confidence(parameters)
        if "subject" not in parameters:
            raise DialectError(decode.NO_PARAMETER, "The parameter `subject` is missing.")
        name, photo = decode.parse_subject(parameters["subject"]), UploadedPhoto("file", image)
        found = named.enrol(clients.collection(request), name, photo, min_confidence).person
        return Reply.of_json(encode.example(found.faces[0].id, found.person.name), 201)

    def delete_all(request: Request) -> Reply:
        parameters, collection = decode.parse_parameters(request.query), clients.collection(request)
        if "subject" not in parameters:
            return Reply.of_json({"deleted": named.delete_all(collection)[1]})
        try:
            _, faces = named.delete(collection, decode.find_subject(parameters["subject"]))
        except UnknownPerson:
            return Reply.of_json({"deleted": 0})
        return Reply.of_json({"deleted": faces})

    def delete_several(request: Request) -> Reply:
        found = enrolled.delete(clients.collection(request), decode.read_face_ids(request))
        return Reply.of_json(encode.examples(found.deleted))

    def delete(request: Request) -> Reply:
        found = enrolled.delete(clients.collection(request), [_face_id(request)])
        if found.missing:
            raise UnknownFace("The collection has no such face.")
        return Reply.of_json(encode.examples(found.deleted)[0])

    def image(request: Request) -> Reply:
        crop = enrolled.crop(clients.collection(request), _face_id(request))
        kind = "image/jpeg" if crop else "application/octet-stream"
        return Reply(Response(200, {"Content-Type": kind}, crop or b""))

    return (
        Route("GET", "/recognition/faces", list_all),
        Route("POST", "/recognition/faces", add, Access.ADMIN),
        Route("DELETE", "/recognition/faces", delete_all, Access.ADMIN),
        Route("POST", "/recognition/faces/delete", delete_several, Access.ADMIN),
        Route("DELETE", "/recognition/faces/{id}", delete, Access.ADMIN),
        # A crop shows what an embedding is made of, which readers may not have either.
        Route("GET", "/recognition/faces/{id}/img", image, Access.ADMIN),
        Route("GET", "/static/{key}/images/{id}", image, Access.ADMIN),
    )


def photo_routes(service: FaceService, enrolled: EnrolledFaces, clients: ClientKeys) -> tuple[Route, ...]:
    def recognize(request: Request) -> Reply:
        (image,), options = read(request, "file")
        found = service.identify(image, selected(request, options.candidates))
        view = View(Size(found.width, found.height), options, embeddings(request, image, options), found.timings)
        return Reply(Response.of_json({"result": encode.recognition(found, view), **versions(options)}), found)

    def detect(request: Request) -> Reply:
        (image,), options = read(request, "file")
        found = service.detect(image)
        view = View(Size(found.width, found.height), options, embeddings(request, image, options), found.timings)
        return Reply.of_json({"result": encode.detection(found, view), **versions(options)})

    def verify_face(request: Request) -> Reply:
        (image,), options = read(request, "file")
        found = enrolled.verify(_face_id(request), image, selected(request))
        view = View(found.target_size, options, embeddings(request, image, options), found.timings)
        return Reply.of_json({"result": encode.verification(found, view), **versions(options)})

    def verify(request: Request) -> Reply:
        (source, target), options = read(request, "source_image", "target_image")
        found = service.compare(source, target, selected(request))
        if encode.has_several(found, options):
            raise DialectError(decode.SEVERAL_FACES, "The source image has more than one face.")
        timings = found.target.timings
        body = encode.comparison(
            found,
            View(found.source_size, options, embeddings(request, source, options), timings),
            View(found.target.target_size, options, embeddings(request, target, options), timings),
        )
        return Reply.of_json({"result": [{**body, **versions(options)}]})

    def recognize_embeddings(request: Request) -> Reply:
        given = decode.read_embeddings(request)
        options = selected(request, decode.parse_candidates(decode.parse_parameters(request.query)))
        found = [(each.tolist(), service.search(each, options)) for each in given]
        return Reply.of_json({"result": [encode.search(embedding, result) for embedding, result in found]})

    def read(request: Request, *names: str) -> tuple[tuple[bytes, ...], FaceOptions]:
        images, parameters = decode.read_photos(request, *names)
        return images, decode.parse_options(parameters)

    def selected(request: Request, candidates: int = 1) -> IdentifyOptions:
        # All faces also for `limit=1`: the largest one may be too small to be found otherwise.
        return IdentifyOptions(top=candidates, all_faces=True, collection=clients.collection(request))

    def embeddings(request: Request, image: bytes, options: FaceOptions) -> Embeddings:
        if "calculator" not in options.plugins or not clients.may_embed(request):
            return {}
        found = service.embed(image, selected(request))
        return {face.box: numbers for face, numbers in zip(found.faces, found.embeddings.tolist())}

    def versions(options: FaceOptions) -> Json:
        return {"plugins_versions": encode.versions(service.model())} if options.status else {}

    return (
        Route("POST", "/recognition/recognize", recognize),
        Route("POST", "/recognition/faces/{id}/verify", verify_face),
        Route("POST", "/recognition/embeddings/recognize", recognize_embeddings),
        Route("POST", "/detection/detect", detect),
        Route("POST", "/verification/verify", verify),
    )


def _name(request: Request) -> str:
    return decode.find_subject(request.path_parameters["subject"])


def _new_name(request: Request) -> str:
    return decode.parse_subject(bodies.read_json(request).get("subject"))


def _face_id(request: Request) -> str:
    return decode.face_id(request.path_parameters["id"])
