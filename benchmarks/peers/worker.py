"""One face recognition system in a process of its own, for benchmarks/peers; Python 3.8 and later, Linux.

    python -m benchmarks.peers.worker ours|facenet|dlib

Reads the path of a photo from each line and answers with a line of JSON: `embedding` of the face nearest the photo's
centre, null where no face was found, and `ms`, the CPU's time from the file to the embedding, which other work on the
machine changes less than it does the clock's. The first line says the `version`, and the last, once there are no more
photos, what it took: `peak`, MB of memory, and `disk`, MB of the packages imported until then and of the weights.
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

MB = 1e6
CUDA = re.compile(r"cuda|nvrtc|nvToolsExt|_gpu\.so")  # files of PyTorch's that its build without CUDA lacks

Embed = Callable[[Path], Optional[np.ndarray]]


class Loaded(NamedTuple):
    """files: weights that lie in none of the imported packages."""

    embed: Embed
    version: str
    files: list[Path]


def nearest_centre(boxes: Sequence[tuple[float, float, float, float]], width: int, height: int) -> int:
    """boxes: XYXY. What model.crop.nearest_centre does, for environments without the model's packages."""
    away = [(left + right - width) ** 2 + (top + bottom - height) ** 2 for left, top, right, bottom in boxes]
    return away.index(min(away))


def ours() -> Loaded:
    """The path of a request: service.faces.FaceService.identify, but for the face that is taken."""
    from model.recognizer import Recognizer
    from model.store import BUNDLED, fetch

    from model import photo
    from model.crop import crop, nearest_centre
    from model.detection.detector import Detector

    find = Detector()
    recognizer = Recognizer.load(BUNDLED)

    def embed(path: Path) -> np.ndarray | None:
        picture = photo.decode(path.read_bytes())
        found = find.detect(picture)
        if not found:
            return None
        face_crop = crop(picture, nearest_centre(found, picture), recognizer.config.crop)
        _, embeddings = recognizer.classify(face_crop[None])
        return embeddings[0]

    # Of this package the detector's weights are read, and nothing is imported.
    files = [
        Path(str(file.locate())) for file in importlib.metadata.files("facenet-pytorch") or () if file.suffix == ".pt"
    ]
    return Loaded(embed, recognizer.version, [*files, fetch(BUNDLED)[0]])


def facenet() -> Loaded:
    """facenet-pytorch as its README has it."""
    import torch
    from facenet_pytorch import MTCNN, InceptionResnetV1
    from facenet_pytorch.models.inception_resnet_v1 import get_torch_home

    find = MTCNN(image_size=160)
    network = InceptionResnetV1(pretrained="vggface2").eval()

    def embed(path: Path) -> np.ndarray | None:
        photo = Image.open(path).convert("RGB")
        boxes, _ = find.detect(photo)
        if boxes is None:
            return None
        chosen = nearest_centre(boxes, *photo.size)
        face = find.extract(photo, boxes[[chosen]], None)
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
        chosen = nearest_centre(edges, pixels.shape[1], pixels.shape[0])
        return face_recognition.face_encodings(pixels, [boxes[chosen]])[0]

    return Loaded(embed, importlib.metadata.version("dlib-bin"), [])


def disk(files: Sequence[Path]) -> float:
    """MB of `files` and of the packages that were imported, without CUDA's libraries: none of these needs them."""
    imported = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    total = sum(path.stat().st_size for path in files)
    for package in importlib.metadata.distributions():
        paths = [Path(str(path.locate())) for path in package.files or ()]
        if any(str(path) in imported for path in paths):
            total += sum(path.stat().st_size for path in paths if path.is_file() and not CUDA.search(path.name))
    return total / MB


def peak() -> float:
    """MB. Not getrusage's: that begins with what the parent process had."""
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kilobytes) * 1024 / MB


def main(name: str) -> None:
    loaded = {"ours": ours, "facenet": facenet, "dlib": dlib}[name]()
    say(version=loaded.version)
    for line in sys.stdin:
        started = time.process_time()
        embedding = loaded.embed(Path(line.rstrip("\n")))
        ms = (time.process_time() - started) * 1000
        say(embedding=None if embedding is None else [float(x) for x in embedding], ms=ms)
    say(peak=peak(), disk=disk(loaded.files))


def say(**content: Any) -> None:
    print(json.dumps(content), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
