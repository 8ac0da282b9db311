"""One face recognition system in its own process, for benchmarks/peers. Python 3.8 or later, Linux.

    python -m benchmarks.peers.worker ours|facenet|dlib

Reads the path of a photo from each line of stdin and writes one line of JSON to stdout: `embedding` of the face nearest
the photo's centre, null if no face was found, and `ms`, the CPU time from file to embedding, which depends less on
other load than wall-clock time. The first line holds the `version`; the last one, at the end of stdin, `peak` memory in
MB and `disk`, the size of the imported packages and the weights in MB.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import sys
import time
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional, Sequence

import numpy as np
from PIL import Image

from benchmarks.usage import MB, peak

CUDA = re.compile(r"cuda|nvrtc|nvToolsExt|_gpu\.so")  # files of PyTorch that its CPU build does not have

Embed = Callable[[Path], Optional[np.ndarray]]


class Loaded(NamedTuple):
    """A loaded system. files: weights outside the imported packages."""

    embed: Embed
    version: str
    files: list[Path]


def nearest_centre(boxes: Sequence[tuple[float, float, float, float]], width: int, height: int) -> int:
    """Index of the box whose centre is nearest the photo's centre. boxes: XYXY in pixels.

    Same as model.crop.nearest_centre, for environments without the packages of `model`.
    """
    distances = [(left + right - width) ** 2 + (top + bottom - height) ** 2 for left, top, right, bottom in boxes]
    return distances.index(min(distances))


def ours() -> Loaded:
    """This project: the steps of a request, for the face nearest the centre, always with both networks.

    The service runs InceptionResnetV1 only where MobileFaceNet does not decide alone. The embedding is followed by 1
    if it may decide alone, else by 0.
    """
    from model import photo
    from model.crop import crop, nearest_centre
    from model.detection.detector import Detector
    from model.landmarks import is_reliable, landmark_crop
    from settings import limit_convolution_cache
    from storage.folder import FolderBlobs
    from storage.networks import BUNDLED, load_current

    limit_convolution_cache()
    detector, snapshot = Detector(), load_current(FolderBlobs(Path(BUNDLED)))

    def embed(path: Path) -> np.ndarray | None:
        picture = photo.decode(path.read_bytes())
        faces = detector.detect(picture)
        if not faces:
            return None
        face = nearest_centre(faces, picture)
        cut, landmark_cut = crop(picture, face, snapshot.network.config.crop), landmark_crop(picture, face)
        return np.append(snapshot.embed(cut[None], landmark_cut[None])[0], is_reliable(picture, face))

    # The detector reads the weights of this package without importing it.
    package = importlib.metadata.files("facenet-pytorch") or ()
    files = [Path(str(file.locate())) for file in package if file.suffix == ".pt"]
    return Loaded(embed, snapshot.version, [*files, *(path for path in Path(BUNDLED).rglob("*") if path.is_file())])


def facenet() -> Loaded:
    """facenet-pytorch as in its README."""
    import torch
    from facenet_pytorch import MTCNN, InceptionResnetV1
    from facenet_pytorch.models.inception_resnet_v1 import get_torch_home

    mtcnn = MTCNN(image_size=160)
    network = InceptionResnetV1(pretrained="vggface2").eval()

    def embed(path: Path) -> np.ndarray | None:
        photo = Image.open(path).convert("RGB")
        boxes, _ = mtcnn.detect(photo)
        if boxes is None:
            return None
        nearest = nearest_centre(boxes, *photo.size)
        face = mtcnn.extract(photo, boxes[[nearest]], None)
        with torch.no_grad():
            return network(face[None])[0].numpy()

    weights = Path(get_torch_home()) / "checkpoints" / "20180402-114759-vggface2.pt"
    return Loaded(embed, importlib.metadata.version("facenet-pytorch"), [weights])


def dlib() -> Loaded:
    """face_recognition with its defaults: the HOG detector, five landmarks, no jitter."""
    import face_recognition

    def embed(path: Path) -> np.ndarray | None:
        pixels = face_recognition.load_image_file(path)
        boxes = face_recognition.face_locations(pixels)
        if not boxes:
            return None
        edges = [(left, top, right, bottom) for top, right, bottom, left in boxes]
        nearest = nearest_centre(edges, pixels.shape[1], pixels.shape[0])
        return face_recognition.face_encodings(pixels, [boxes[nearest]])[0]

    return Loaded(embed, importlib.metadata.version("dlib-bin"), [])


def disk(files: Sequence[Path]) -> float:
    """Size of `files` and of the imported packages in MB, without CUDA's libraries, which no system needs."""
    imported, found = {getattr(module, "__file__", None) for module in list(sys.modules.values())}, list(files)
    for package in importlib.metadata.distributions():
        paths = [Path(str(path.locate())) for path in package.files or ()]
        if any(str(path) in imported for path in paths):
            found += [path for path in paths if path.is_file() and not CUDA.search(path.name)]
    return sum(path.stat().st_size for path in found) / MB


def main(name: str) -> None:
    """Serve photos until the end of stdin. name: ours, facenet or dlib."""
    loaded = {"ours": ours, "facenet": facenet, "dlib": dlib}[name]()
    write(version=loaded.version)
    for line in sys.stdin:
        started = time.process_time()
        embedding = loaded.embed(Path(line.rstrip("\n")))
        ms = (time.process_time() - started) * 1000
        write(embedding=None if embedding is None else [float(x) for x in embedding], ms=ms)
    write(peak=peak(), disk=disk(loaded.files))


def write(**content: Any) -> None:
    print(json.dumps(content), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
