"""stress: robustness of a finished model to blur, darkness, compression, rotation, low resolution and occlusion."""

from __future__ import annotations

import functools
import io
from typing import Any

from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from model.crop import nearest_centre
from model.detection.detector import Detector
from model.photo import Photo
from training.data.align import STORED_CROP, Change
from training.data.dataset import dataset, evenly_spaced
from training.data.prepare import STRANGER, VAL, examples
from training.errors import TrainingError
from training.evaluation.evaluate_model import evaluate_probes
from training.network.base import load_base, outside_cohort
from training.records import Run
from training.store import load_model

SMALL_FACE = 40  # pixels
BAR_HEIGHT = 0.28  # of the face's height, like sunglasses or a scarf


def _jpeg(photo: Image.Image, quality: int = 95, **options: Any) -> bytes:
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=quality, **options)
    return file.getvalue()


def _unchanged(photo: Image.Image, detector: Detector) -> bytes:
    return _jpeg(photo)


def _blur(photo: Image.Image, detector: Detector, radius: float) -> bytes:
    """Apply a Gaussian blur. radius: pixels of a photo whose longer side has 250 pixels."""
    return _jpeg(photo.filter(ImageFilter.GaussianBlur(radius * max(photo.size) / 250)))


def _darken(photo: Image.Image, detector: Detector, brightness: float) -> bytes:
    return _jpeg(ImageEnhance.Brightness(photo).enhance(brightness))


def _compress(photo: Image.Image, detector: Detector, quality: int) -> bytes:
    return _jpeg(photo, quality)


def _shrink(photo: Image.Image, detector: Detector) -> bytes:
    """Scale the photo down until the face is at most SMALL_FACE pixels wide."""
    upright = Photo.of(photo)
    faces = detector.detect(upright)
    scale = min(1.0, SMALL_FACE / nearest_centre(faces, upright).box.width) if faces else 1.0
    return _jpeg(photo.resize((max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))))


def _rotate_exif(photo: Image.Image, detector: Detector) -> bytes:
    """Rotate the pixels by 90 degrees and set the EXIF orientation accordingly, as phones do."""
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: rotate by 90 degrees clockwise for display
    return _jpeg(photo.transpose(Image.Transpose.ROTATE_90), exif=exif)


def _roll(photo: Image.Image, detector: Detector, degrees: float) -> bytes:
    return _jpeg(photo.rotate(degrees, Image.Resampling.BICUBIC))


def _occlude(photo: Image.Image, detector: Detector, points: slice) -> bytes:
    """Draw a black bar as wide as the face over some of its five landmarks."""
    upright = Photo.of(photo)
    faces = detector.detect(upright)
    if faces:
        face = nearest_centre(faces, upright)
        middle, half = face.landmarks[points, 1].mean(), BAR_HEIGHT * face.box.height / 2
        ImageDraw.Draw(photo).rectangle((face.box.left, middle - half, face.box.right, middle + half), "black")
    return _jpeg(photo)


CHANGES: dict[str, Change] = {
    "unchanged": _unchanged,
    "blurred, radius 2": functools.partial(_blur, radius=2),
    "blurred, radius 4": functools.partial(_blur, radius=4),
    "brightness 20 %": functools.partial(_darken, brightness=0.2),
    f"face {SMALL_FACE} pixels wide": _shrink,
    "JPEG quality 20": functools.partial(_compress, quality=20),
    "rotated by EXIF": _rotate_exif,
    "rolled by 15 degrees": functools.partial(_roll, degrees=15),
    "rolled by 30 degrees": functools.partial(_roll, degrees=30),
    "rolled by 45 degrees": functools.partial(_roll, degrees=45),
    "eyes hidden": functools.partial(_occlude, points=slice(0, 2)),
    "mouth hidden": functools.partial(_occlude, points=slice(3, 5)),
}


def _photos(run: Run) -> tuple[list[tuple[str, int, str]], ...]:
    """List the val photos with the model's ID of each person, -1 if it has none, and the strangers' photos with -1.

    -> path, ID, and CENTRAL or DOMINANT. Raises TrainingError if the run has stored crops instead of photos.
    """
    names, listed = examples(run)
    if any(row.path.endswith(STORED_CROP) for row in listed):
        raise TrainingError("stress needs photos, but this run was trained on the stored crops of a collection.")
    data = dataset(run)
    ids = {name: i for i, name in enumerate(data.names)}  # people without a face are not in the model
    outside = data.rows[(data.splits == STRANGER) & outside_cohort(run, load_base(run))]
    val = [(row.path, ids.get(names[row.person], -1), row.face) for row in listed if row.split == VAL]
    return val, [(listed[row].path, -1, listed[row].face) for row in outside]


def measure_robustness(run: Run, count: int) -> None:
    """Measure the exported model on evenly spaced val photos, and strangers' photos, after each of CHANGES.

    count: photos of each, at most. The record `stress` holds, for each change, the shares of val photos with a detected
    face, with a correct prediction (`right`), and with a correct or a wrong prediction above the threshold, and the
    share of strangers' photos that are identified as somebody (`strangers_known`), None without such photos.

    Raises TrainingError if the model is not exported, or the run has stored crops instead of photos.
    """
    inputs = {"export": run.identity("export"), "count": count, "changes": list(CHANGES)}

    def work() -> dict[str, Any]:
        photos, strangers = ([group[i] for i in evenly_spaced(len(group), count)] for group in _photos(run))
        snapshot = load_model(str(run.out / "model"))
        table = []
        for name, change in CHANGES.items():
            probes, known = evaluate_probes(snapshot, photos, name, change)
            _, accepted = evaluate_probes(snapshot, strangers, f"{name}, strangers", change)
            counts = {
                "face_found": len(probes),
                "right": probes.correct.sum(),
                "right_and_known": (probes.correct & known).sum(),
                "wrong_and_known": (~probes.correct & known).sum(),
            }
            shares = {key: float(value) / len(photos) for key, value in counts.items()}
            fpir = float(accepted.sum()) / len(strangers) if strangers else None
            table.append({"change": name, **shares, "strangers_known": fpir})
        return {"photos": len(photos), "strangers": len(strangers), "table": table}

    run.step("stress", inputs, [], work)
