"""The service's own dialect: results to the JSON that openapi.yaml describes."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Dict, Mapping, Sequence

from api.lambda_events import Response
from api.problems import Problem
from model.face import Box, Face
from service.results import (
    CollectionInfo,
    ComparedFace,
    Comparison,
    Detection,
    EmbeddedFaces,
    Enrolment,
    GalleryInfo,
    Identification,
    Match,
    ModelInfo,
    PeopleList,
    PersonDetails,
    PersonSummary,
    RecognizedFace,
    SearchResult,
    Skipped,
)

if TYPE_CHECKING:
    from model.quality import Quality
    from model.records import EnrolledFace, Person

# In the order of Face.landmarks, left as seen in the photo.
LANDMARKS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")

Json = Dict[str, Any]


def encode_problem(problem: Problem, request_id: str) -> Response:
    body = error(problem, request_id)
    if problem.skipped:
        body["skipped"] = [skipped_photo(photo) for photo in problem.skipped]
    return Response.of_json(body, problem.status)


def error(problem: Problem, request_id: str) -> Json:
    return {"error": {"code": problem.code, "message": problem.message}, "request_id": request_id}


def health(model: ModelInfo) -> Json:
    return {"status": "ok", "model": _model(model)}


def identification(file: str, found: Identification, request_id: str, *, all_faces: bool) -> Json:
    """file: the photo's name; all_faces: list every identified face, not the largest alone."""
    faces = [_recognized(face) for face in found.faces]
    answer: Json = {"file": file, **faces[0]}
    if all_faces:
        answer["faces"] = faces
    answer.update(
        faces_detected=found.faces_detected,
        image=_size(found),
        model=_model(found.model),
        gallery=_gallery(found.gallery),
        timings_ms=_timings(found.timings),
        request_id=request_id,
    )
    return answer


def detection(file: str, found: Detection, request_id: str) -> Json:
    """file: the photo's name."""
    return {
        "file": file,
        "faces": [{**_face(face), "quality": _quality(quality)} for face, quality in found.faces],
        "faces_detected": len(found.faces),
        "image": _size(found),
        "timings_ms": _timings(found.timings),
        "request_id": request_id,
    }


def comparison(found: Comparison, request_id: str) -> Json:
    return {
        "source": _face(found.source),
        "faces": [_compared(each) for each in found.target.faces],
        "model": _model(found.model),
        "timings_ms": _timings(found.target.timings),
        "request_id": request_id,
    }


def embedding(file: str, found: EmbeddedFaces, request_id: str) -> Json:
    """file: the photo's name."""
    spec = found.spec
    return {
        "file": file,
        "faces": [
            {"embedding": numbers, **_face(face)} for face, numbers in zip(found.faces, found.embeddings.tolist())
        ],
        "embedding": {"name": spec.name, "digest": spec.digest, "size": spec.size},
        "image": _size(found),
        "model": _model(found.model),
        "request_id": request_id,
    }


def search(found: SearchResult, request_id: str) -> Json:
    return {
        **_predicted(found.candidates, found.known),
        "model": _model(found.model),
        "gallery": _gallery(found.gallery),
        "request_id": request_id,
    }


def collection(found: CollectionInfo) -> Json:
    return asdict(found)


def people(found: PeopleList) -> Json:
    body: Json = {"people": [_summary(person) for person in found.people], "count": found.count}
    if found.next is not None:
        body["next"] = found.next
    return {**body, "gallery": _gallery(found.gallery)}


def person(found: PersonDetails) -> Json:
    user_id = found.person.user_id
    return {
        **_named(found.person),
        **({} if user_id is None else {"user_id": user_id}),
        "collection": found.collection,
        "faces": [_enrolled(face) for face in found.faces],
    }


def enrolment(found: Enrolment) -> Json:
    body = {
        **person(found.person),
        "skipped": [skipped_photo(photo) for photo in found.skipped],
        "look_alikes": [_match(match) for match in found.look_alikes],
        "same_name": list(found.same_name),
    }
    return {**body, "advice": found.advice} if found.advice else body


def _model(model: ModelInfo) -> Json:
    described: Json = {"version": model.version, "classes": model.people}
    return {**described, "extrapolated": True} if model.extrapolated else described


def _gallery(found: GalleryInfo) -> Json:
    described = asdict(found)
    if not found.stale:
        del described["stale"]
    return described


def _size(photo: Identification | Detection | EmbeddedFaces) -> Json:
    size: Json = {"width": photo.width, "height": photo.height}
    return {**size, "truncated": True} if photo.truncated else size


def _timings(timings: Mapping[str, float]) -> Json:
    return {phase: round(ms, 1) for phase, ms in timings.items()}


def _recognized(face: RecognizedFace) -> Json:
    return {**_predicted(face.candidates, face.known), "face": _face(face.face)}


def _predicted(matches: Sequence[Match], known: bool) -> Json:
    """The person, and the candidates. Without candidates the confidence is 0."""
    candidates = [_match(match) for match in matches]
    best = candidates[0] if candidates else {"id": None, "name": None, "confidence": 0}
    return {
        "predicted_id": best["id"] if known else None,
        "predicted_name": best["name"] if known else None,
        "confidence": best["confidence"],
        "known": known,
        "candidates": candidates,
    }


def _match(match: Match) -> Json:
    return {"id": match.id, "name": match.name, "confidence": _rounded(match.confidence)}


def _compared(compared: ComparedFace) -> Json:
    face = _face(compared.face)
    face["face_confidence"] = face.pop("confidence")
    return {"same": compared.same, "confidence": _rounded(compared.confidence), **face}


def _named(person: Person | PersonSummary) -> Json:
    named: Json = {"id": person.id, "name": person.name}
    return named if person.external_id is None else {**named, "external_id": person.external_id}


def _summary(person: PersonSummary) -> Json:
    return {**_named(person), "faces": person.faces}


def skipped_photo(photo: Skipped) -> Json:
    skipped: Json = {"file": photo.file, "reason": photo.reason}
    return {**skipped, "message": photo.detail} if photo.detail else skipped


def _enrolled(face: EnrolledFace) -> Json:
    box = None if face.box is None else _box(Box(*face.box))
    added = face.added if "T" in face.added else f"{face.added}T00:00:00+00:00"  # published faces have the day alone
    listed = {"id": face.id, "box": box, "confidence": face.confidence, "added": added}
    return listed if face.external_id is None else {**listed, "external_id": face.external_id}


def _quality(quality: Quality) -> Json:
    return {
        "sharpness": round(quality.sharpness, 2),
        "brightness": round(quality.brightness, 3),
        "roll": round(quality.roll, 1),
        "yaw": round(quality.yaw, 1),
        "size": round(quality.size, 1),
        "good": quality.good,
        "reasons": list(quality.reasons),
    }


def _rounded(confidence: float) -> float:
    """Round a confidence in [0, 1] to 4 digits. One that is not certain does not become 1."""
    return min(round(confidence, 4), 0.9999)


def _face(face: Face) -> Json:
    return {
        "box": _box(face.box),
        "confidence": round(face.confidence, 4),
        "landmarks": dict(zip(LANDMARKS, face.landmarks.round(1).tolist())),
    }


def _box(box: Box) -> Json:
    return {
        "left": round(box.left, 1),
        "top": round(box.top, 1),
        "width": round(box.width, 1),
        "height": round(box.height, 1),
    }
