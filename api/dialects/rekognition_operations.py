"""Operations of Rekognition's dialect: each decodes its fields, calls a use case and encodes the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Dict, Iterable, NamedTuple

from api.dialects import rekognition_results as results
from api.dialects.rekognition_fields import USER_ID, Fields, invalid
from api.dialects.rekognition_pages import page_of
from api.dialects.rekognition_results import Json, model_version
from api.errors import DialectError
from api.keys import Access
from api.parameters import FACE_ID
from api.telemetry import Outcome
from service.errors import NoFace
from service.face_results import ListedFace
from service.names import EXTERNAL_ID
from service.results import IdentifyOptions

if TYPE_CHECKING:  # the service imports torch
    from service.enrolled_faces import EnrolledFaces
    from service.indexing import IndexService
    from service.services import Services
    from service.users import UserService

MOST = 4096  # faces in one answer, and collections in one listing
MOST_USERS = 500
MOST_ASSOCIATED = 100  # faces in one request
DEFAULT_MATCHES = 80
MATCH, ASSOCIATE = 80.0, 75.0  # default thresholds in percent


class Answer(NamedTuple):
    """The content of a response, and for log and metrics what it is about."""

    content: Json
    outcome: Outcome = None


class Operation(NamedTuple):
    run: Callable[[Fields], Answer]
    access: Access = Access.READER


Operations = Dict[str, Operation]


def operations(services: Services, enrolled: EnrolledFaces, index: IndexService, users: UserService) -> Operations:
    """Return all operations, by name."""
    return {
        **collection_operations(services, enrolled),
        **photo_operations(services, index),
        **face_operations(services, enrolled, index),
        **user_operations(services, users),
    }


def collection_operations(services: Services, enrolled: EnrolledFaces) -> Operations:
    galleries = services.galleries

    def version() -> str:
        return model_version(services.faces.model())

    def create(fields: Fields) -> Answer:
        name = fields.collection()
        if not galleries.create(name):
            raise DialectError("ResourceAlreadyExistsException", "The collection exists already.")
        return Answer({"StatusCode": 200, "CollectionArn": results.arn(name), "FaceModelVersion": version()})

    def describe(fields: Fields) -> Answer:
        name = fields.collection()
        return Answer(results.collection(galleries.find(name), enrolled.counts(name), services.faces.model()))

    def list_all(fields: Fields) -> Answer:
        page, token = page_of([info.name for info in galleries.list()], str, fields, MOST)
        return Answer({"CollectionIds": page, "FaceModelVersions": [version()] * len(page), **_next(token)})

    def delete(fields: Fields) -> Answer:
        galleries.delete(fields.collection())
        return Answer({"StatusCode": 200})

    return {
        "CreateCollection": Operation(create, Access.ADMIN),
        "DescribeCollection": Operation(describe),
        "ListCollections": Operation(list_all),
        "DeleteCollection": Operation(delete, Access.ADMIN),
    }


def photo_operations(services: Services, index: IndexService) -> Operations:
    """Operations on photos, and none on users."""

    def index_faces(fields: Fields) -> Answer:
        external_id, most = fields.optional("ExternalImageId", EXTERNAL_ID), fields.count("MaxFaces", 1, None)
        quality = fields.quality("AUTO")
        fields.attributes("DetectionAttributes")
        found = index.index(fields.collection(), fields.image(), external_id, most, quality)
        return Answer(results.indexing(found, services.faces.model()))

    def search(fields: Fields) -> Answer:
        fields.quality("NONE")
        limit, threshold = _limit(fields), fields.threshold("FaceMatchThreshold", MATCH)
        found = index.search_photo(fields.collection(), fields.image(), limit, threshold)
        return Answer(results.photo_search(found), found.identified)

    def compare(fields: Fields) -> Answer:
        fields.quality("NONE")
        options = IdentifyOptions(threshold=fields.threshold("SimilarityThreshold", MATCH))
        source, target = fields.image("SourceImage"), fields.image("TargetImage")
        return Answer(results.comparison(services.faces.compare(source, target, options)))

    def detect(fields: Fields) -> Answer:
        fields.attributes("Attributes")
        return Answer(results.detection(services.faces.detect(fields.image())))

    return {
        "IndexFaces": Operation(index_faces, Access.ADMIN),
        "SearchFacesByImage": Operation(search),
        "CompareFaces": Operation(compare),
        "DetectFaces": Operation(detect),
    }


def face_operations(services: Services, enrolled: EnrolledFaces, index: IndexService) -> Operations:
    """Operations on the faces of a collection, and none on users."""

    def list_faces(fields: Fields) -> Answer:
        user, ids = fields.optional("UserId", USER_ID), fields.texts("FaceIds", FACE_ID, MOST)
        faces: Iterable[ListedFace] = enrolled.list(fields.collection())
        if user is not None:
            faces = (listed for listed in faces if listed.person.user_id == user)
        if ids is not None:
            selected = set(ids)
            faces = (listed for listed in faces if listed.face.id in selected)
        page, token = page_of(list(faces), _face_id, fields, MOST)
        model = services.faces.model()
        encoded = [results.face(listed, model) for listed in page]
        return Answer({"Faces": encoded, "FaceModelVersion": model_version(model), **_next(token)})

    def delete(fields: Fields) -> Answer:
        return Answer(results.deletion(enrolled.delete_indexed(fields.collection(), fields.face_ids(MOST))))

    def search(fields: Fields) -> Answer:
        face_id, limit = fields.text("FaceId", FACE_ID), _limit(fields)
        found = index.search_face(fields.collection(), face_id, limit, fields.threshold("FaceMatchThreshold", MATCH))
        return Answer(results.face_search(found, services.faces.model()))

    return {
        "ListFaces": Operation(list_faces),
        "DeleteFaces": Operation(delete, Access.ADMIN),
        "SearchFaces": Operation(search),
    }


def user_operations(services: Services, users: UserService) -> Operations:
    def list_users(fields: Fields) -> Answer:
        page, token = page_of(users.list(fields.collection()), lambda user: user.user_id, fields, MOST_USERS)
        listed = [{"UserId": user.user_id, "UserStatus": results.user_status(user.faces > 0)} for user in page]
        return Answer({"Users": listed, **_next(token)})

    def create(fields: Fields) -> Answer:
        fields.token()
        users.create(fields.collection(), fields.text("UserId", USER_ID))
        return Answer({})

    def delete(fields: Fields) -> Answer:
        fields.token()
        users.delete(fields.collection(), fields.text("UserId", USER_ID))
        return Answer({})

    def associate(fields: Fields) -> Answer:
        fields.token()
        user, faces = fields.text("UserId", USER_ID), fields.face_ids(MOST_ASSOCIATED)
        threshold = fields.threshold("UserMatchThreshold", ASSOCIATE)
        found = users.associate(fields.collection(), user, faces, threshold)
        return Answer(results.association(found, "AssociatedFaces", "UnsuccessfulFaceAssociations"))

    def disassociate(fields: Fields) -> Answer:
        fields.token()
        user, faces = fields.text("UserId", USER_ID), fields.face_ids(MOST_ASSOCIATED)
        found = users.disassociate(fields.collection(), user, faces)
        return Answer(results.association(found, "DisassociatedFaces", "UnsuccessfulFaceDisassociations"))

    def search_photo(fields: Fields) -> Answer:
        fields.quality("NONE")
        limit, threshold = _user_limit(fields), fields.threshold("UserMatchThreshold", MATCH)
        try:
            found = users.search_photo(fields.collection(), fields.image(), limit, threshold)
        except NoFace:
            empty: Json = {"UserMatches": [], "UnsearchedFaces": []}
            return Answer({**empty, "FaceModelVersion": model_version(services.faces.model())})
        return Answer(results.user_photo_search(found), found.identified)

    def search(fields: Fields) -> Answer:
        user, face_id = fields.optional("UserId", USER_ID), fields.optional("FaceId", FACE_ID)
        limit, threshold = _user_limit(fields), fields.threshold("UserMatchThreshold", MATCH)
        if (user is None) == (face_id is None):
            raise invalid("Either UserId or FaceId is required, and not both.")
        if user is not None:
            found = users.search_user(fields.collection(), user, limit, threshold)
        else:
            found = users.search_face(fields.collection(), str(face_id), limit, threshold)
        return Answer(results.user_search(found, face_id, services.faces.model()))

    return {
        "ListUsers": Operation(list_users),
        "CreateUser": Operation(create, Access.ADMIN),
        "DeleteUser": Operation(delete, Access.ADMIN),
        "AssociateFaces": Operation(associate, Access.ADMIN),
        "DisassociateFaces": Operation(disassociate, Access.ADMIN),
        "SearchUsersByImage": Operation(search_photo),
        "SearchUsers": Operation(search),
    }


def _limit(fields: Fields) -> int:
    return fields.count("MaxFaces", 1, MOST) or DEFAULT_MATCHES


def _user_limit(fields: Fields) -> int:
    return fields.count("MaxUsers", 1, MOST_USERS) or DEFAULT_MATCHES


def _face_id(listed: ListedFace) -> str:
    return listed.face.id


def _next(token: str | None) -> Json:
    return {} if token is None else {"NextToken": token}
