"""The service's own dialect: results to the JSON that openapi.yaml describes."""

from __future__ import annotations

from typing import Any, Dict, Sequence

from api.lambda_events import Response
from api.problems import Problem
from model.face import Face
from service.results import Identification, ModelInfo, PersonSummary, RecognizedFace

# In the order of Face.landmarks, left as seen in the photo.
LANDMARKS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")

Json = Dict[str, Any]


def encode_problem(problem: Problem, request_id: str) -> Response:
    return Response.of_json(error(problem, request_id), problem.status)


def error(problem: Problem, request_id: str) -> Json:
    return {"error": {"code": problem.code, "message": problem.message}, "request_id": request_id}


def health(model: ModelInfo) -> Json:
    return {"status": "ok", "model": _model(model)}


def people(listed: Sequence[PersonSummary]) -> Json:
    return {"people": [{"id": person.id, "name": person.name} for person in listed], "count": len(listed)}


def identification(file: str, found: Identification, request_id: str, *, all_faces: bool) -> Json:
    """file: the photo's name; all_faces: list every identified face, not the largest alone."""
    faces = [_recognized(face) for face in found.faces]
    answer: Json = {"file": file, **faces[0]}
    if all_faces:
        answer["faces"] = faces
    answer.update(
        faces_detected=found.faces_detected,
        image={"width": found.width, "height": found.height},
        model=_model(found.model),
        timings_ms={phase: round(ms, 1) for phase, ms in found.timings.items()},
        request_id=request_id,
    )
    return answer


def _model(model: ModelInfo) -> Json:
    described: Json = {"version": model.version, "classes": model.people}
    return {**described, "extrapolated": True} if model.extrapolated else described


def _recognized(face: RecognizedFace) -> Json:
    candidates = [
        {"id": match.id, "name": match.name, "confidence": _rounded(match.confidence)} for match in face.candidates
    ]
    best = candidates[0]
    return {
        "predicted_id": best["id"] if face.known else None,
        "predicted_name": best["name"] if face.known else None,
        "confidence": best["confidence"],
        "known": face.known,
        "candidates": candidates,
        "face": _face(face.face),
    }


def _rounded(confidence: float) -> float:
    """Round a confidence in [0, 1] to 4 digits. One that is not certain does not become 1."""
    return min(round(confidence, 4), 0.9999)


def _face(face: Face) -> Json:
    box = face.box
    return {
        "box": {
            "left": round(box.left, 1),
            "top": round(box.top, 1),
            "width": round(box.width, 1),
            "height": round(box.height, 1),
        },
        "confidence": round(face.confidence, 4),
        "landmarks": dict(zip(LANDMARKS, face.landmarks.round(1).tolist())),
    }
