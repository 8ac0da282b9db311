"""Accuracy of the served path, end to end: detection and identification must not suffer from the optimizations.

    python -m benchmarks.served --data lfw-deepfunneled-subset.tgz

Compares boxes and landmarks in 500 photos with those of facenet-pytorch's MTCNN, except in photos that a face fills:
such a face is located in the photo with a border, which MTCNN does not do. Then sends the val photos of the bundled
model, scaled to several sizes, to the handler, and compares the accuracy with that of the model on crops as made for
training. `--data` is the data set of the bundled model. Takes ten minutes. Exits with 1 if a limit below is exceeded.
"""

from __future__ import annotations

import io
import json
import os
import random
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple, Sequence

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from benchmarks.bundled import bundled, rows_of
from benchmarks.functions import jpeg
from benchmarks.options import parser_of
from model.crop import CropSpec
from model.detection.detector import SMALLEST_FACE, SMALLEST_SHARE, Detector
from model.detection.filled import is_filled
from model.face import Box, Face
from model.photo import Photo
from testing.events import upload
from training.data.align import Aligner
from training.data.dataset import ALIGNED
from training.data.prepare import VAL
from training.markdown import table

COMPARED = 500  # photos
SIDES = (125, 250, 1000, 2500)  # longer side of a photo in pixels; a face covers about 40 % of it
BOX, LANDMARK = 0.03, 2.0  # difference: share of the box's longer side; pixels of a crop
OUTLIERS = 0.005  # share of faces: rounding decides between two boxes with the same score
ACCURACY_LOSS = 0.001


class Difference(NamedTuple):
    """Largest difference between two detections of one face."""

    box: float  # edges, relative to the box's longer side
    landmark: float  # pixels of the crop


class Compared(NamedTuple):
    """One photo. differences: of its faces, None if their numbers differ; filled: by a face, hence not compared."""

    differences: list[Difference] | None
    filled: bool = False


def compare(path: str) -> Compared:
    """Compare each face in a photo with MTCNN's."""
    torch.set_num_threads(1)
    image = Image.open(path).convert("RGB")
    smallest = max(SMALLEST_FACE, SMALLEST_SHARE * max(image.size))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torchvision, and numpy's about ragged arrays in MTCNN
        from facenet_pytorch import MTCNN

        boxes, _, landmarks = MTCNN(keep_all=True, min_face_size=smallest).detect(image, landmarks=True)
    photo, known = Photo.of(image), [] if boxes is None else boxes
    theirs = [Face(Box(*map(float, box)), 1.0, np.zeros((5, 2))) for box in known]
    if is_filled(photo, sorted(theirs, key=lambda face: -face.box.area)):
        return Compared(None, filled=True)
    faces = Detector().detect(photo)
    if len(faces) != len(known):
        return Compared(None)
    return Compared([_difference(face, boxes, landmarks) for face in faces])


def _difference(face: Face, boxes: np.ndarray, landmarks: np.ndarray) -> Difference:
    """Compare a face with the nearest of MTCNN's. boxes: [N, 4] XYXY; landmarks: [N, 5, 2]; pixels of the photo."""
    spec, own = CropSpec(), face.box
    edges = np.abs(boxes - (own.left, own.top, own.right, own.bottom)).max(axis=1)
    side = max(own.width, own.height)
    points = np.abs(landmarks[edges.argmin()] - face.landmarks).max()
    return Difference(float(edges.min() / side), float(points / side * (spec.size - spec.margin)))


def top_candidate(path: str, side: int) -> str | None:
    """Name of the first candidate for the face nearest the centre, whatever its confidence; None without a face.

    side: longer side in pixels that the photo is scaled to.
    """
    os.environ["POWERTOOLS_METRICS_DISABLED"] = "true"
    torch.set_num_threads(1)
    import handler

    handler.app.telemetry.log.setLevel("ERROR")
    answer = handler.handle(upload(_scaled(Path(path), side), faces="all"), SimpleNamespace(aws_request_id="1"))
    if answer["statusCode"] != 200:
        return None
    body = json.loads(answer["body"])
    centre = np.array([body["image"]["width"], body["image"]["height"]]) / 2

    def distance_to_centre(face: dict[str, dict[str, dict[str, float]]]) -> float:
        box = face["face"]["box"]
        return float(np.hypot(*(centre - (box["left"] + box["width"] / 2, box["top"] + box["height"] / 2))))

    return str(min(body["faces"], key=distance_to_centre)["candidates"][0]["name"])


def _scaled(path: Path, side: int) -> bytes:
    """The file, or a JPEG file of the photo scaled to the longer side in pixels."""
    data = path.read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        if side == max(image.size):
            return data
        scale = side / max(image.size)
        size = (round(image.width * scale), round(image.height * scale))
        return jpeg(image.convert("RGB").resize(size, Image.Resampling.BICUBIC), quality=95)


def offline(paths: list[str]) -> list[str | None]:
    """Top candidates of the model on crops as made for training; None without a face."""
    snapshot, aligner = bundled(), Aligner(CropSpec())
    names: list[str | None] = []
    for path in tqdm(paths, desc="offline", unit=" photos"):
        face = aligner.align(Path(path))
        found = snapshot.search(face.crop[None], face.landmark_crop[None], np.array([face.reliable]), 1)
        names.append(snapshot.gallery.found(found.ids[0])[0].name if face.status == ALIGNED else None)
    return names


def main() -> int:
    parser = parser_of(__doc__, data=True)
    parser.add_argument("--photos", type=int, help="maximum number of val photos (all)")
    options = parser.parse_args()
    _, rows = rows_of(options.data, None)
    people = [person.name for person in bundled().gallery.people]
    sample = random.Random(0).sample([str(row.path) for row in rows], COMPARED)
    val = [row for row in rows if row.split == VAL]
    random.Random(0).shuffle(val)
    val = val[: options.photos]
    truth, paths = [people[row.person] for row in val], [str(row.path) for row in val]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        compared = list(tqdm(pool.map(compare, sample, chunksize=4), total=len(sample), desc="boxes"))
        served = {}
        for side in SIDES:
            names = pool.map(top_candidate, paths, [side] * len(paths), chunksize=4)
            served[side] = list(tqdm(names, total=len(paths), desc=f"{side} px"))
    expected = offline(paths)
    return int(report_detection(compared) | report_accuracy(truth, expected, served))


def report_detection(photos: Sequence[Compared]) -> bool:
    """Print the differences of boxes and landmarks. Returns True if a limit is exceeded."""
    compared = [photo.differences for photo in photos if not photo.filled]
    faces = [difference for photo in compared if photo for difference in photo]
    mismatched = sum(photo is None for photo in compared)
    boxes, landmarks = (np.array(column) for column in zip(*faces))
    outliers = (boxes > BOX) | (landmarks > LANDMARK)
    print(f"\n{len(compared)} photos, {len(faces)} faces; the number of faces differs in {mismatched} photos.")
    print(f"Not compared: {len(photos) - len(compared)} photos that a face fills, or in which MTCNN finds none.")
    print(f"Median difference: boxes {np.median(boxes):.4%}, landmarks {np.median(landmarks):.4f} pixels of 160.")
    print(f"{outliers.sum()} faces differ by more than {BOX:.0%} or {LANDMARK:g} pixels.")
    print(f"Largest difference: boxes {boxes.max():.1%}, landmarks {landmarks.max():.1f} pixels.")
    return bool(mismatched > 0 or outliers.mean() > OUTLIERS)


def report_accuracy(truth: list[str], expected: list[str | None], served: dict[int, list[str | None]]) -> bool:
    """Print the rank-1 accuracy by photo size. Returns True if a limit is exceeded.

    truth: names; expected: names from `offline`; served: names from the handler by photo size.
    """
    reference = _accuracy(expected, truth)
    found = {side: _accuracy(names, truth) for side, names in served.items()}
    rows = [[f"{side}", f"{share:.2%}", f"{served[side].count(None)}"] for side, share in found.items()]
    print(f"\nRank-1 accuracy on {len(truth)} photos, offline: {reference:.2%}\n")
    print(table(["longer side, px", "accuracy", "no face"], rows))
    return min(found.values()) < reference - ACCURACY_LOSS


def _accuracy(names: list[str | None], truth: list[str]) -> float:
    return float(np.mean([name == person for name, person in zip(names, truth)]))


if __name__ == "__main__":
    sys.exit(main())
