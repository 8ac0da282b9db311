"""AWS Lambda entry. A request's journey: event -> upload -> photo -> faces -> crops -> confidences -> answer.

`handle` is for requests, `on_upload` for photos that are dropped in an S3 bucket.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from aws_lambda_powertools.event_handler.api_gateway import Router
from aws_lambda_powertools.shared.functions import strtobool

from api import answers, bulk, contract, uploads
from api.answers import Stopwatch
from api.gateway import Gateway
from api.uploads import Upload
from model.crop import crop
from model.current import CurrentModel
from model.detection.detector import Detector
from model.errors import ModelUnavailable, NoFace
from model.photo import decode
from model.processor import use_threads
from model.store import BUNDLED

MODEL_URI = os.getenv("MODEL_URI") or BUNDLED
CORS_ORIGIN = os.getenv("CORS_ORIGIN") or "*"
API_KEY = os.getenv("API_KEY") or ""
METRICS = not strtobool(os.getenv("POWERTOOLS_METRICS_DISABLED") or "false")
MEMORY = os.getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")

if MEMORY and not os.getenv("OMP_NUM_THREADS"):
    use_threads(int(MEMORY))

router = Router()
detector = Detector()
current = CurrentModel(MODEL_URI)


@router.post("/classify")
def classify() -> dict[str, Any]:
    return name_faces(uploads.read(router.current_event), router.lambda_context.aws_request_id)


def name_faces(upload: Upload, request_id: str) -> dict[str, Any]:
    model, clock = current.get(), Stopwatch()
    with clock("decode"):
        photo = decode(upload.data)
    with clock("detect"):
        faces = detector.detect(photo)
    if not faces:
        raise NoFace("No face was found in the photo.")
    with clock("classify"):
        asked = faces if upload.options.all_faces else faces[:1]
        confidences, _ = model.classify(np.stack([crop(photo, face, model.config.crop) for face in asked]))
    return answers.classification(upload, photo, faces, asked, confidences, model, clock, request_id)


@router.get("/health")
def health() -> dict[str, Any]:
    return answers.health(current.get())


@router.get("/people")
def people() -> dict[str, Any]:
    return answers.people(current.get())


@router.get("/openapi.json")
def openapi() -> dict[str, Any]:
    return contract.document()


gateway = Gateway(router, CORS_ORIGIN, current.version, API_KEY, METRICS)

try:
    gateway.log.info("model loaded", model_version=current.get().version)
except ModelUnavailable as error:
    # INIT must not fail for it: requests answer 503 and try again.
    gateway.log.error("no model at start", reason=str(error))


def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return gateway.answer(event, context)


def on_upload(event: dict[str, Any], context: Any) -> dict[str, int]:
    """For photos in a bucket: see api/bulk.py."""
    current.get()  # without a model Lambda has to try again
    return bulk.work_through(event, context, name_faces, gateway)
