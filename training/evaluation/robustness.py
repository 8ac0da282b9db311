"""stress: the val photos as a bad camera, bad light or a hat would give them, through the finished model."""

from __future__ import annotations

import functools
import io
from typing import Any

from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from model.crop import nearest_centre
from model.detection.detector import Detector
from model.photo import Photo
from model.recognizer import Recognizer
from training.data.align import Change
from training.data.dataset import evenly
from training.data.prepare import VAL, examples
from training.evaluation.evaluate_model import judge
from training.records import Run

SMALL_FACE = 40  # pixels
BAR = 0.28  # of the face's height: sunglasses, a scarf


def _saved(photo: Image.Image, quality: int = 95, **options: Any) -> bytes:
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=quality, **options)
    return file.getvalue()


def _as_it_is(photo: Image.Image, detector: Detector) -> bytes:
    return _saved(photo)


def _blurred(photo: Image.Image, detector: Detector, radius: float) -> bytes:
    """radius: of a Gaussian blur, pixels in a photo whose longer side has 250."""
    return _saved(photo.filter(ImageFilter.GaussianBlur(radius * max(photo.size) / 250)))


def _dark(photo: Image.Image, detector: Detector, brightness: float) -> bytes:
    return _saved(ImageEnhance.Brightness(photo).enhance(brightness))


def _poor(photo: Image.Image, detector: Detector, quality: int) -> bytes:
    return _saved(photo, quality)


def _small(photo: Image.Image, detector: Detector) -> bytes:
    """The photo scaled down until the face is SMALL_FACE pixels wide, if it is larger."""
    seen = Photo.of(photo)
    faces = detector.detect(seen)
    scale = min(1.0, SMALL_FACE / nearest_centre(faces, seen).box.width) if faces else 1.0
    return _saved(photo.resize((max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))))


def _turned(photo: Image.Image, detector: Detector) -> bytes:
    """Lying on its side, as a phone saves it, with the EXIF note that says so."""
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: to be shown after a quarter turn clockwise
    return _saved(photo.transpose(Image.Transpose.ROTATE_90), exif=exif)


def _rolled(photo: Image.Image, detector: Detector, degrees: float) -> bytes:
    return _saved(photo.rotate(degrees, Image.Resampling.BICUBIC))


def _hidden(photo: Image.Image, detector: Detector, points: slice) -> bytes:
    """A black bar over some of the face's landmarks, as wide as the face."""
    seen = Photo.of(photo)
    faces = detector.detect(seen)
    if faces:
        face = nearest_centre(faces, seen)
        middle, half = face.landmarks[points, 1].mean(), BAR * face.box.height / 2
        ImageDraw.Draw(photo).rectangle((face.box.left, middle - half, face.box.right, middle + half), "black")
    return _saved(photo)


CHANGES: dict[str, Change] = {
    "as it is": _as_it_is,
    "blurred, radius 2": functools.partial(_blurred, radius=2),
    "blurred, radius 4": functools.partial(_blurred, radius=4),
    "dark, a fifth of the light": functools.partial(_dark, brightness=0.2),
    f"face {SMALL_FACE} pixels wide": _small,
    "JPEG quality 20": functools.partial(_poor, quality=20),
    "turned by EXIF": _turned,
    "rolled by 15 degrees": functools.partial(_rolled, degrees=15),
    "rolled by 30 degrees": functools.partial(_rolled, degrees=30),
    "rolled by 45 degrees": functools.partial(_rolled, degrees=45),
    "eyes hidden": functools.partial(_hidden, points=slice(0, 2)),
    "mouth hidden": functools.partial(_hidden, points=slice(3, 5)),
}


def stress(run: Run, count: int) -> None:
    """Share of `count` val photos, evenly taken, that the exported model names rightly after each change."""
    inputs = {"export": run.identity("export"), "count": count, "changes": list(CHANGES)}

    def work() -> dict[str, Any]:
        recognizer = Recognizer.load(str(run.out / "model"))
        val = [(row.path, row.person) for row in examples(run)[1] if row.split == VAL]
        chosen = [val[i] for i in evenly(len(val), count)]
        table = []
        for name, change in CHANGES.items():
            found = judge(recognizer, chosen, name, change)
            known = found.top_score >= recognizer.config.threshold
            shares = {
                "face_found": len(found),
                "right": found.correct.sum(),
                "right_and_known": (found.correct & known).sum(),
                "wrong_and_known": (~found.correct & known).sum(),
            }
            table.append({"change": name, **{key: float(value) / len(chosen) for key, value in shares.items()}})
        return {"photos": len(chosen), "table": table}

    run.step("stress", inputs, [], work)
