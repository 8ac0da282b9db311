"""Faces and confidences to the JSON of the answer."""

from __future__ import annotations

from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Iterator, Sequence

import numpy as np

from api.uploads import Options, Upload

# As the contract calls them, in the order in which model/faces.py has them; left as seen in the photo.
LANDMARKS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")

if TYPE_CHECKING:  # model imports torch, and this module has no need of it
    from model.face import Face
    from model.photo import Photo
    from model.recognizer import Recognizer

Json = dict


def milliseconds(since: float) -> float:
    """From a time of `perf_counter` to now, to a tenth."""
    return round((perf_counter() - since) * 1000, 1)


class Stopwatch:
    """Milliseconds by phase."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        started = perf_counter()
        yield
        self.ms[phase] = milliseconds(started)


def failure(code: str, message: str, request_id: str) -> Json:
    return {"error": {"code": code, "message": message}, "request_id": request_id}


def model_facts(model: Recognizer) -> Json:
    return {"version": model.version, "classes": len(model.people)}


def health(model: Recognizer) -> Json:
    return {"status": "ok", "model": model_facts(model)}


def people(model: Recognizer) -> Json:
    listed = [{"id": person.id, "name": person.name} for person in model.people]
    return {"people": listed, "count": len(listed)}


def classification(
    upload: Upload,
    photo: Photo,
    faces: Sequence[Face],
    asked: Sequence[Face],
    confidences: np.ndarray,
    model: Recognizer,
    clock: Stopwatch,
    request_id: str,
) -> Json:
    """The answer for a photo. faces: all, largest first; asked: those to be named; confidences: [asked, people]."""
    named = [_named(face, row, upload.options, model) for face, row in zip(asked, confidences)]
    answer: Json = {"file": upload.name, **named[0]}
    if upload.options.all_faces:
        answer["faces"] = named
    answer.update(
        faces_detected=len(faces),
        image={"width": photo.width, "height": photo.height},
        model=model_facts(model),
        timings_ms=clock.ms,
        request_id=request_id,
    )
    return answer


def _named(face: Face, confidences: np.ndarray, options: Options, model: Recognizer) -> Json:
    """One face and who it is. confidences: [people]."""
    threshold = model.config.threshold if options.threshold is None else options.threshold
    order = np.argsort(-confidences, kind="stable")[: options.top]
    candidates = [
        {"id": int(i), "name": model.people[i].name, "confidence": round(float(confidences[i]), 4)} for i in order
    ]
    best = candidates[0]
    known = float(confidences[order[0]]) >= threshold
    return {
        "predicted_id": best["id"] if known else None,
        "predicted_name": best["name"] if known else None,
        "confidence": best["confidence"],
        "known": known,
        "candidates": candidates,
        "face": _face(face),
    }


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
