"""Baseline (facenet-pytorch): a Lambda function written as in common tutorials, for comparison of the speed.

It imports torchvision and facenet-pytorch, downloads one traced fp32 model with boto3, detects faces in the original
photo with MTCNN's defaults, and classifies the largest face in one forward pass. It has no threshold, no error handling
and no other formats, because these would only make it slower.

    python -m benchmarks.baseline PATH    writes the fp32 model; reads or downloads the weights in TORCH_HOME
"""

from __future__ import annotations

import base64
import io
import json
import os
import sys
import tempfile
import warnings
from typing import Any

import boto3
import torch
from facenet_pytorch import MTCNN, InceptionResnetV1
from PIL import Image
from requests_toolbelt.multipart import decoder

CLASSES = 610


def export(path: str) -> None:
    """Trace the network and save it. Its last layer is not trained, which does not affect the speed."""
    network = InceptionResnetV1(pretrained="vggface2", classify=True, num_classes=CLASSES).eval()
    torch.jit.trace(network, torch.zeros(1, 3, 160, 160)).save(path)


def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer the REST API event of a multipart upload."""
    body = base64.b64decode(event["body"])
    parts = decoder.MultipartDecoder(body, event["headers"]["Content-Type"]).parts
    photo = Image.open(io.BytesIO(parts[0].content)).convert("RGB")
    face = mtcnn(photo)
    with torch.no_grad():
        probabilities = torch.softmax(model(face[None]), dim=1)[0]
    predicted = int(probabilities.argmax())
    return {
        "statusCode": 200,
        "headers": {"Content-Type": "application/json", "Access-Control-Allow-Origin": "*"},
        "body": json.dumps({"predicted_id": predicted, "confidence": float(probabilities[predicted])}),
    }


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracer warnings about constants: the input shape is fixed
        export(sys.argv[1])
else:
    file = os.path.join(tempfile.gettempdir(), "model.pt")
    boto3.client("s3").download_file(os.environ["BUCKET"], os.environ["KEY"], file)
    model = torch.jit.load(file).eval()
    mtcnn = MTCNN()
