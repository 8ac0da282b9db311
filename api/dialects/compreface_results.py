"""Results and errors as CompreFace's clients read them."""

from __future__ import annotations

from typing import Any, Dict, Iterable, Mapping, NamedTuple, Sequence, Tuple

from api.dialects.compreface_requests import FaceOptions, Page
from api.lambda_events import Response
from api.problems import Problem
from model.face import Box, Face
from service.errors import NoFace
from service.face_results import ListedFace
from service.results import Comparison, Detection, Identification, Match, ModelInfo, SearchResult, Size, Verification

Json = Dict[str, Any]
Embeddings = Mapping[Box, Sequence[float]]  # by the box of the face
Described = Tuple[Face, Json]  # a face, and further fields

# Status and CompreFace's code of the errors of api/problems.py. All others are 400 with code 0.
CODES = {
    "no_face": (400, 28),
    "too_small": (400, 28),  # CompreFace's detectors do not find such faces
    "several_faces": (400, 31),
    "empty_upload": (400, 21),
    "unreadable_image": (400, 21),
    "unsupported_media_type": (400, 21),
    "bad_parameter": (400, 26),
    "unauthorized": (403, 0),
    "management_off": (403, 0),
    "not_found": (404, 0),
    "method_not_allowed": (404, 0),
    "unknown_person": (404, 42),
    "unknown_face": (404, 44),
    "exists": (400, 43),
    "conflict": (409, 0),
    "internal": (500, 41),
    "model_unavailable": (503, 41),
    "collection_full": (507, 0),
}
MESSAGES = {
    "no_face": "No face is found in the given image",  # clients compare this text
    "not_found": "Nothing is here.",
    "method_not_allowed": "This path does not take the method of the request.",
}


class View(NamedTuple):
    """How the faces of a photo are encoded.

    size: of the photo; embeddings: those that the client wants and may read; timings: milliseconds by phase, see
    service/results.py.
    """

    size: Size
    options: FaceOptions
    embeddings: Embeddings
    timings: Mapping[str, float]


def encode_problem(problem: Problem, _: str) -> Response:
    """Encode an error. Those of the dialect have CompreFace's code already."""
    status, code = CODES.get(problem.code, (400, 0))
    if problem.code.isdigit():
        status, code = problem.status, int(problem.code)
    message = MESSAGES.get(problem.code, problem.message)
    return Response.of_json({"message": message, "code": code}, status)


def recognition(found: Identification, view: View) -> list[Json]:
    """Encode identified faces. Raises NoFace if none is left, as do `detection` and `verification`."""
    return _faces(((each.face, {"subjects": _candidates(each.candidates)}) for each in found.faces), view)


def detection(found: Detection, view: View) -> list[Json]:
    return _faces(((face, {}) for face, _ in found.faces), view)


def verification(found: Verification, view: View) -> list[Json]:
    subject = {} if found.person is None else {"subject": found.person.name}
    described = ((each.face, {**subject, "similarity": _similarity(each.confidence)}) for each in found.faces)
    return _faces(described, view)


def comparison(found: Comparison, source: View, target: View) -> Json:
    return {"source_image_face": _face(found.source, source), "face_matches": verification(found.target, target)}


def has_several(found: Comparison, options: FaceOptions) -> bool:
    """Tell whether the source has more than one of the faces that the options ask for."""
    clear = [face for face in (found.source, *found.others) if face.confidence >= options.min_confidence]
    return len(clear[: options.limit]) > 1


def search(embedding: Sequence[float], found: SearchResult) -> Json:
    return {"embedding": embedding, "similarities": _candidates(found.candidates)}


def versions(model: ModelInfo) -> Json:
    return {"detector": "MTCNN", "calculator": f"InceptionResnetV1+MobileFaceNet {model.version}"}


def example(face_id: str, subject: str) -> Json:
    return {"image_id": face_id, "subject": subject}


def examples(faces: Iterable[ListedFace]) -> list[Json]:
    return [example(listed.face.id, listed.person.name) for listed in faces]


def page(faces: Sequence[ListedFace], part: Page) -> Json:
    """Encode a page of a listing. faces: of all pages."""
    start = part.number * part.size
    return {
        "faces": examples(faces[start : start + part.size]),
        "page_number": part.number,
        "page_size": part.size,
        "total_pages": -(-len(faces) // part.size),
        "total_elements": len(faces),
    }


def _faces(found: Iterable[Described], view: View) -> list[Json]:
    """Encode the faces that the options ask for, largest first. Raises NoFace."""
    clear = [(face, more) for face, more in found if face.confidence >= view.options.min_confidence]
    if not clear:
        raise NoFace("No face in the photo has the confidence of `det_prob_threshold`.")
    clear.sort(key=lambda described: described[0].box.area, reverse=True)
    return [{**_face(face, view), **more} for face, more in clear[: view.options.limit]]


def _face(face: Face, view: View) -> Json:
    options = view.options
    body: Json = {"box": _box(face, view.size)}
    if "landmarks" in options.plugins:
        body["landmarks"] = face.landmarks.round().astype(int).tolist()
    if face.box in view.embeddings:
        body["embedding"] = view.embeddings[face.box]
    if options.status:
        phases = {"detector": "detect", "calculator": "classify"}
        body["execution_time"] = {name: view.timings[phase] for name, phase in phases.items() if phase in view.timings}
    return body


def _box(face: Face, size: Size) -> Json:
    """Encode a box, in whole pixels and without what lies outside the photo."""
    box, (width, height) = face.box, size
    return {
        "probability": round(face.confidence, 5),
        "x_min": max(0, round(box.left)),
        "y_min": max(0, round(box.top)),
        "x_max": min(width, round(box.right)),
        "y_max": min(height, round(box.bottom)),
    }


def _candidates(candidates: Sequence[Match]) -> list[Json]:
    return [{"subject": match.name, "similarity": _similarity(match.confidence)} for match in candidates]


def _similarity(confidence: float) -> float:
    """Round a confidence in [0, 1] to 5 digits. One that is not certain does not become 1."""
    return min(round(confidence, 5), 0.99999)
