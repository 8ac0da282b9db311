"""Whether the way to the answer, tuned as it is, still finds the same faces and names them as well.

    python -m benchmarks.served --data lfw-deepfunneled-subset.tgz

Boxes and landmarks of 500 photos against those of facenet-pytorch's MTCNN; then the val photos of the bundled
model as requests to the handler, scaled to several sizes, against the model on crops of the training's. `--data` is
what the bundled model was trained on. Ten minutes. Ends with 1 where one of the limits below is not kept.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import torch
from model.recognizer import Recognizer
from model.store import BUNDLED
from PIL import Image
from tqdm import tqdm

from benchmarks.bundled import rows_of
from benchmarks.functions import jpeg
from model.crop import CropSpec
from model.detection.detector import SMALLEST_FACE, SMALLEST_SHARE, Detector
from model.face import Face
from model.photo import Photo
from testing.events import upload
from training.data.align import Aligner
from training.data.prepare import VAL

COMPARED = 500
SIDES = (125, 250, 1000, 2500)  # pixels; a face takes about 40 % of them
BOX, LANDMARK = 0.03, 2.0  # of the box's longer side; pixels of a crop
FAR = 0.005  # of the faces: where two boxes are as good, another order of sums decides
LOST = 0.001  # of top-1


class Difference(NamedTuple):
    """Of one face: the farthest edge, as a share of the box's longer side, and landmark, in pixels of the crop."""

    box: float
    landmark: float


def differences(path: str) -> list[Difference] | None:
    """For each face in a photo; None where it is not the same number of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from facenet_pytorch import MTCNN
    torch.set_num_threads(1)
    image = Image.open(path).convert("RGB")
    smallest = max(SMALLEST_FACE, SMALLEST_SHARE * max(image.size))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about ragged arrays
        boxes, _, landmarks = MTCNN(keep_all=True, min_face_size=smallest).detect(image, landmarks=True)
    found = Detector().detect(Photo.of(image))
    if len(found) != (0 if boxes is None else len(boxes)):
        return None
    return [_nearest(face, boxes, landmarks) for face in found]


def _nearest(face: Face, boxes: np.ndarray, landmarks: np.ndarray) -> Difference:
    spec, own = CropSpec(), face.box
    edges = np.abs(boxes - (own.left, own.top, own.right, own.bottom)).max(axis=1)
    side = max(own.width, own.height)
    points = np.abs(landmarks[edges.argmin()] - face.landmarks).max()
    return Difference(float(edges.min() / side), float(points / side * (spec.size - spec.margin)))


def named(path: str, side: int) -> str | None:
    """The person that the answer names first for the face nearest the centre, without a threshold."""
    os.environ["POWERTOOLS_METRICS_DISABLED"] = "true"
    torch.set_num_threads(1)
    import handler

    handler.app.telemetry.log.setLevel("ERROR")
    data = Path(path).read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        if side != max(image.size):
            scale = side / max(image.size)
            size = (round(image.width * scale), round(image.height * scale))
            data = jpeg(image.convert("RGB").resize(size, Image.Resampling.BICUBIC), quality=95)
    answer = handler.handle(upload(data, faces="all"), SimpleNamespace(aws_request_id="1"))
    body = json.loads(answer["body"])
    if answer["statusCode"] != 200:
        return None

    def off_centre(face: dict[str, dict[str, dict[str, float]]]) -> float:
        box = face["face"]["box"]
        x, y = box["left"] + box["width"] / 2, box["top"] + box["height"] / 2
        return abs(complex(x - body["image"]["width"] / 2, y - body["image"]["height"] / 2))

    return str(min(body["faces"], key=off_centre)["candidates"][0]["name"])


def offline(paths: list[str]) -> list[str | None]:
    """What the model says to the training's crops."""
    recognizer, aligner = Recognizer.load(BUNDLED), Aligner(CropSpec())
    names: list[str | None] = []
    for path in tqdm(paths, desc="offline", unit=" photos"):
        found, crop, _ = aligner.align(Path(path))
        confidences = recognizer.classify(crop[None])[0][0]
        names.append(recognizer.people[int(confidences.argmax())].name if found == 1 else None)
    return names


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--photos", type=int, help="val photos at most (all)")
    given = parser.parse_args()
    _, rows = rows_of(given.data, None)
    people = [person.name for person in Recognizer.load(BUNDLED).people]
    paths = [str(row.path) for row in rows]
    some = random.Random(0).sample(paths, COMPARED)
    val = [row for row in rows if row.split == VAL]
    random.Random(0).shuffle(val)
    val = val[: given.photos]
    truth, probes = [people[row.person] for row in val], [str(row.path) for row in val]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        compared = list(tqdm(pool.map(differences, some, chunksize=4), total=len(some), desc="boxes"))
        served = {
            side: list(tqdm(pool.map(named, probes, [side] * len(val), chunksize=4), total=len(val), desc=f"{side} px"))
            for side in SIDES
        }
    return report(compared, truth, offline(probes), served)


def report(
    compared: list[list[Difference] | None],
    truth: list[str],
    expected: list[str | None],
    served: dict[int, list[str | None]],
) -> int:
    faces = [difference for found in compared if found for difference in found]
    others = sum(found is None for found in compared)
    boxes, points = (np.array(column) for column in zip(*faces))
    print(f"\n{len(compared)} photos, {len(faces)} faces; in {others} photos another number of them.")
    far = (boxes > BOX) | (points > LANDMARK)
    print(f"Boxes differ by {np.median(boxes):.4%} (median), landmarks by {np.median(points):.4f} pixels of 160.")
    print(f"{far.sum()} faces by more than {BOX:.0%} or {LANDMARK:g} pixels: {boxes.max():.1%}, {points.max():.1f}.")
    reached = float(np.mean([name == person for name, person in zip(expected, truth)]))
    print(f"\nRight names of {len(truth)}, offline: {reached:.2%}\n\n| longer side | served | no face |\n|---|---|---|")
    failed = others > 0 or far.mean() > FAR
    for side, names in served.items():
        right = float(np.mean([name == person for name, person in zip(names, truth)]))
        failed |= right < reached - LOST
        print(f"| {side} | {right:.2%} | {sum(name is None for name in names)} |")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
