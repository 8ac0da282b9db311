"""Results of the services as Rekognition's clients read them. Similarity is 100 times the calibrated confidence.

What is not measured is left out: age, gender, emotions, pose, occlusion and the like.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Dict, Sequence
from uuid import NAMESPACE_OID, uuid5

from model.face import Box, Face
from service.face_results import (
    Association,
    FaceCounts,
    FaceDeletion,
    FaceMatch,
    FaceSearch,
    Indexing,
    ListedFace,
    PhotoSearch,
    RefusedFace,
    UserMatch,
    UserPhotoSearch,
    UserSearch,
)
from service.results import CollectionInfo, ComparedFace, Comparison, Detection, ModelInfo, Size

Json = Dict[str, Any]

LANDMARKS = ("eyeLeft", "eyeRight", "nose", "mouthLeft", "mouthRight")  # in the order of Face.landmarks
NOT_INDEXED = {
    "excess": "EXCEEDS_MAX_FACES",
    "small": "SMALL_BOUNDING_BOX",
    "blurred": "LOW_SHARPNESS",
    "dark": "LOW_BRIGHTNESS",
    "bright": "LOW_FACE_QUALITY",
    "cut": "LOW_FACE_QUALITY",
    "tilted": "EXTREME_POSE",
    "turned": "EXTREME_POSE",
}
REFUSED = {
    "missing": "FACE_NOT_FOUND",
    "other_user": "ASSOCIATED_TO_A_DIFFERENT_USER",
    "not_similar": "LOW_MATCH_CONFIDENCE",
}


def model_version(model: ModelInfo) -> str:
    """Return the version of the model in the form that the service model demands: digits and a dot."""
    day, _, checksum = model.version.partition("-")
    return f"{day}.{int(checksum, 16)}"


def arn(collection: str) -> str:
    """Return the name of a collection as a resource. The partition is ours, because nothing of it is Amazon's."""
    return f"arn:face-recognition:rekognition:::collection/{collection}"


def collection(info: CollectionInfo, counts: FaceCounts, model: ModelInfo) -> Json:
    created = datetime.fromisoformat(info.created).replace(tzinfo=timezone.utc)
    return {
        "FaceCount": counts.faces,
        "UserCount": counts.users,
        "FaceModelVersion": model_version(model),
        "CollectionARN": arn(info.name),
        "CreationTimestamp": created.timestamp(),
    }


def face(listed: ListedFace, model: ModelInfo) -> Json:
    """Encode a face of a collection. One that is the mean over several photos has no box and no photo."""
    enrolled = listed.face
    found: Json = {"FaceId": enrolled.id, "IndexFacesModelVersion": model_version(model)}
    if len(enrolled.photos) == 1:
        found["ImageId"] = image_id(enrolled.photos[0])
    if enrolled.box and enrolled.photo_size:
        found["BoundingBox"] = bounding_box(Box(*enrolled.box), Size(*enrolled.photo_size))
    if enrolled.confidence is not None:
        found["Confidence"] = percent(enrolled.confidence)
    if listed.label is not None:
        found["ExternalImageId"] = listed.label
    if listed.person.user_id is not None:
        found["UserId"] = listed.person.user_id
    return found


def image_id(digest: str) -> str:
    """Return the ID of a photo: a UUID made of its digest, so that the same photo has the same ID."""
    return str(uuid5(NAMESPACE_OID, digest))


def detection(found: Detection) -> Json:
    size = Size(found.width, found.height)
    return {"FaceDetails": [detail(face, size) for face, _ in found.faces]}


def indexing(found: Indexing, model: ModelInfo) -> Json:
    return {
        "FaceRecords": [
            {"Face": face(indexed.listed, model), "FaceDetail": detail(indexed.face, found.size)}
            for indexed in found.indexed
        ],
        "UnindexedFaces": [
            {
                "Reasons": list(dict.fromkeys(NOT_INDEXED[reason] for reason in reasons)),
                "FaceDetail": detail(left_out, found.size),
            }
            for left_out, reasons in found.left_out
        ],
        "FaceModelVersion": model_version(model),
    }


def photo_search(found: PhotoSearch) -> Json:
    identified = found.identified
    searched, size = identified.faces[0].face, Size(identified.width, identified.height)
    return {
        "SearchedFaceBoundingBox": bounding_box(searched.box, size),
        "SearchedFaceConfidence": percent(searched.confidence),
        **_matches(found.matches, identified.model),
    }


def face_search(found: FaceSearch, model: ModelInfo) -> Json:
    return {"SearchedFaceId": found.searched.face.id, **_matches(found.matches, model)}


def deletion(found: FaceDeletion) -> Json:
    """Encode a deletion. DeletedFaces is missing where no face was deleted: the service model allows no empty list."""
    kept = [
        {"FaceId": listed.face.id, "UserId": listed.person.user_id, "Reasons": ["ASSOCIATED_TO_AN_EXISTING_USER"]}
        for listed in found.kept
    ]
    missing = [{"FaceId": key, "Reasons": ["FACE_NOT_FOUND"]} for key in found.missing]
    deleted = [listed.face.id for listed in found.deleted]
    return {**({"DeletedFaces": deleted} if deleted else {}), "UnsuccessfulFaceDeletions": kept + missing}


def comparison(found: Comparison) -> Json:
    """Encode a comparison. A face matches if its confidence reaches the threshold of the request."""
    size = found.target.target_size
    return {
        "SourceImageFace": {
            "BoundingBox": bounding_box(found.source.box, found.source_size),
            "Confidence": percent(found.source.confidence),
        },
        "FaceMatches": [
            {"Similarity": percent(each.confidence), "Face": _compared(each, size)}
            for each in found.target.faces
            if each.same
        ],
        "UnmatchedFaces": [_compared(each, size) for each in found.target.faces if not each.same],
    }


def user_photo_search(found: UserPhotoSearch) -> Json:
    identified = found.identified
    size = Size(identified.width, identified.height)
    return {
        "UserMatches": _users(found.matches),
        "FaceModelVersion": model_version(identified.model),
        "SearchedFace": {"FaceDetail": detail(identified.faces[0].face, size)},
        "UnsearchedFaces": [
            {"FaceDetails": detail(other, size), "Reasons": ["FACE_NOT_LARGEST"]} for other in identified.others
        ],
    }


def user_search(found: UserSearch, face_id: str | None, model: ModelInfo) -> Json:
    """face_id: of the face that was searched, None for a user."""
    searched = {"SearchedUser": {"UserId": found.user_id}} if face_id is None else {"SearchedFace": {"FaceId": face_id}}
    return {"UserMatches": _users(found.matches), "FaceModelVersion": model_version(model), **searched}


def association(found: Association, done: str, undone: str) -> Json:
    """done, undone: names of the fields for the faces that were associated or disassociated, and for the others."""
    return {
        done: [{"FaceId": key} for key in found.done],
        undone: [_refused(face) for face in found.refused],
        "UserStatus": user_status(found.active),
    }


def user_status(active: bool) -> str:
    """active: the user has faces."""
    return "ACTIVE" if active else "CREATED"


def detail(found: Face, size: Size) -> Json:
    """Encode a face in a photo of that size."""
    return {
        "BoundingBox": bounding_box(found.box, size),
        "Landmarks": [
            {"Type": kind, "X": round(x / size.width, 6), "Y": round(y / size.height, 6)}
            for kind, (x, y) in zip(LANDMARKS, found.landmarks.tolist())
        ],
        "Confidence": percent(found.confidence),
    }


def bounding_box(box: Box, size: Size) -> Json:
    """Encode a box in pixels as shares of the photo's width and height."""
    return {
        "Width": round(box.width / size.width, 6),
        "Height": round(box.height / size.height, 6),
        "Left": round(box.left / size.width, 6),
        "Top": round(box.top / size.height, 6),
    }


def percent(confidence: float) -> float:
    """Encode a confidence in [0, 1]. One that is not certain does not become 100."""
    return min(round(100 * confidence, 4), 99.9999) if confidence < 1 else 100.0


def _matches(matches: Sequence[FaceMatch], model: ModelInfo) -> Json:
    encoded = [{"Similarity": percent(match.confidence), "Face": face(match.found, model)} for match in matches]
    return {"FaceMatches": encoded, "FaceModelVersion": model_version(model)}


def _compared(compared: ComparedFace, size: Size) -> Json:
    return detail(compared.face, size)


def _users(matches: Sequence[UserMatch]) -> list[Json]:
    # Users without faces match nobody.
    return [
        {"Similarity": percent(match.confidence), "User": {"UserId": match.user_id, "UserStatus": user_status(True)}}
        for match in matches
    ]


def _refused(refused: RefusedFace) -> Json:
    found: Json = {"FaceId": refused.face_id, "Reasons": [REFUSED[refused.reason]]}
    if refused.user_id is not None:
        found["UserId"] = refused.user_id
    if refused.confidence is not None:
        found["Confidence"] = percent(refused.confidence)
    return found
