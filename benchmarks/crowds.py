"""People found in photos of groups: by `faces=all`, and by a request for the largest face.

    python -m benchmarks.crowds --data lfw-deepfunneled-subset.tgz

Composes photos of 6,000 x 4,000 pixels, in which LFW's people stand in random places of a grid, and prints Markdown
tables: how many people are found in groups of several sizes, and time, memory and response of the service for some
photos. Times are processor times of one thread. Takes five minutes.
"""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, NamedTuple, Sequence

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from benchmarks.bundled import percent
from benchmarks.functions import jpeg, photos, scaled
from benchmarks.lfw import photos_by_person
from benchmarks.options import parser_of
from model.detection.boxes import boxes_of
from model.detection.detector import Detector
from model.detection.nms import overlap
from model.face import Face
from model.photo import Photo, decode
from training.markdown import table

WIDTH, HEIGHT = 6000, 4000
FACE_SHARE = 0.37  # width of the face in a photo of LFW
QUALITY = 80  # of the JPEG: with 384 people it has 4 MB, which fit into a request
# People, and width of their faces as a share of the photo's. Requests are measured for LARGE_GROUPS.
GROUPS = ((6, 0.1), (24, 0.06), (96, 0.03), (192, 0.02), (96, 0.015), (384, 0.015), (384, 0.01), (384, 0.007))
LARGE_GROUPS = ((96, 0.03), (384, 0.015))
FOUND, NO_FACE = 0.5, 0.3  # overlap with the face from which it is found; up to which a box shows no face
REPEATS = 3


class Group(NamedTuple):
    """A composed photo. file: JPEG; people: boxes of their faces, [N, 4] XYXY; faces: also those of bystanders."""

    file: bytes
    people: np.ndarray
    faces: np.ndarray


class Composer:
    """Composes groups from LFW's photos."""

    def __init__(self, data: Path) -> None:
        with photos_by_person(data) as photos:
            self._photos = {name: [path.read_bytes() for path in paths] for name, paths in photos.items()}
        self._detector = Detector()

    def compose(self, count: int, share: float, seed: int = 0) -> Group:
        """Compose a photo of `count` people whose faces have a share of its width."""
        random_ = random.Random(seed)
        cell = round(share * WIDTH / FACE_SHARE)
        columns, rows = WIDTH // cell, HEIGHT // cell
        image = Image.new("RGB", (WIDTH, HEIGHT), (120, 130, 140))
        people, faces = [], []
        names = random_.sample(sorted(self._photos), count)
        for name, place in zip(names, random_.sample(range(columns * rows), count)):
            photo = Image.open(io.BytesIO(random_.choice(self._photos[name]))).convert("RGB")
            corner = place % columns * (WIDTH // columns), place // columns * (HEIGHT // rows)
            image.paste(scaled(photo, cell, cell), corner)
            found = boxes_of(self._detector.detect(Photo.of(photo))) * (cell / photo.width) + np.tile(corner, 2)
            faces.append(found)
            people.append(nearest(found, np.add(corner, cell / 2)))
        return Group(jpeg(image, QUALITY), np.array(people, np.float32), np.concatenate(faces).astype(np.float32))


def nearest(some: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Return the box nearest to a point: [N, 4] XYXY, N > 0 -> [4]."""
    centres = (some[:, :2] + some[:, 2:]) / 2
    box: np.ndarray = some[np.linalg.norm(centres - point, axis=1).argmin()]
    return box


def found(group: Group, faces: Sequence[Face]) -> np.ndarray:
    """Tell which people of a group were found, bool [people]."""
    people: np.ndarray = (overlap(group.people, boxes_of(faces)) > FOUND).any(axis=1)
    return people


def detection(composer: Composer) -> str:
    """Search groups of several sizes. -> a table."""
    detector, rows = Detector(), []
    for count, share in tqdm(GROUPS, desc="detection"):
        group = composer.compose(count, share)
        (large, large_ms), (faces, ms) = timed(group.file, detector.detect, detector.detect_all)
        false = ~(overlap(boxes_of(faces), group.faces) > NO_FACE).any(axis=1)
        shares = [percent(found(group, some).mean(), 1) for some in (large, faces)]
        size = [f"{count}", f"{share * 100:g} %"]
        rows.append([*size, *shares, f"{false.sum()}", f"{large_ms:,.0f}", f"{ms:,.0f}"])
    header = ["people", "width of a face", "found: largest", "found: all", "boxes of no face"]
    return table([*header, "detection: largest, ms", "all, ms"], rows)


def timed(file: bytes, *detect: Callable[[Photo], list[Face]]) -> list[tuple[list[Face], float]]:
    """Decode a photo and detect its faces in several ways. -> for each its faces and the least processor time in ms."""
    results: list[tuple[list[Face], float]] = []
    for _ in range(REPEATS):  # in turn, so that other load on the machine affects all of them
        for each in detect:
            started = time.process_time()
            faces = each(decode(file))
            results.append((faces, (time.process_time() - started) * 1000))
    return [min(results[i :: len(detect)], key=lambda result: result[1]) for i in range(len(detect))]


def cost(file: bytes, repeats: int = REPEATS) -> dict[str, float]:
    """Measure requests about a photo: see benchmarks/photo_cost.py."""
    with tempfile.NamedTemporaryFile(suffix=".jpg") as photo:
        photo.write(file)
        photo.flush()
        command = [sys.executable, "-m", "benchmarks.photo_cost", photo.name, str(repeats)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def service(composer: Composer) -> str:
    """Measure requests. -> a table."""
    files, rows = photos(), []
    for count, share in LARGE_GROUPS:
        files[f"{count} people, {share * 100:g} %"] = composer.compose(count, share).file
    for name, file in tqdm(files.items(), desc="service"):
        got = cost(file)
        figures = got["faces"], got["largest_ms"], got["all_ms"], got["peak_mb"], got["bytes"] / 1000
        rows.append([name, *(f"{figure:,.0f}" for figure in figures)])
    return table(["whole request", "faces", "largest, ms", "all, ms", "peak memory, MB", "response, kB"], rows)


def main() -> None:
    torch.set_num_threads(1)
    composer = Composer(parser_of(__doc__, data=True).parse_args().data)
    print(detection(composer), end="\n\n")
    print(service(composer))


if __name__ == "__main__":
    main()
