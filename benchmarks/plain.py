"""The plain way, to be measured against: what the tutorials do, and nothing that costs them less.

torchvision and facenet-pytorch are imported to serve, boto3 downloads one traced fp32 file, MTCNN looks for faces with
its defaults in the photo as it came, and one forward pass names the largest. Its threshold, its errors and its formats
are left out: they would only make it slower.

    python -m benchmarks.plain PATH    writes the fp32 file; TORCH_HOME has the pretrained weights, or will
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
    """The network of the tutorials. Its last layer is not trained, which takes the same time."""
    network = InceptionResnetV1(pretrained="vggface2", classify=True, num_classes=CLASSES).eval()
    torch.jit.trace(network, torch.zeros(1, 3, 160, 160)).save(path)


def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
    body = base64.b64decode(event["body"])
    parts = decoder.MultipartDecoder(body, event["headers"]["Content-Type"]).parts
    photo = Image.open(io.BytesIO(parts[0].content)).convert("RGB")
    face = mtcnn(photo)
    with torch.no_grad():
        probabilities = torch.softmax(model(face[None]), dim=1)[0]
    best = int(probabilities.argmax())
    return {
        "statusCode": 200,
        "headers": {"Content-Type": "application/json", "Access-Control-Allow-Origin": "*"},
        "body": json.dumps({"predicted_id": best, "confidence": float(probabilities[best])}),
    }


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the trace, whose shapes are always the same
        export(sys.argv[1])
else:
    file = os.path.join(tempfile.gettempdir(), "model.pt")
    boto3.client("s3").download_file(os.environ["BUCKET"], os.environ["KEY"], file)
    model = torch.jit.load(file).eval()
    mtcnn = MTCNN()
