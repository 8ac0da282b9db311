"""evaluate --people: open-set accuracy of a model's networks with people who are not in the model."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

import numpy as np

from model.embedding import GENERIC, MOBILE, normalize
from service.results import Skipped
from storage.networks import Snapshot
from training.data.align import aligned_batches
from training.data.duplicates import find_duplicates
from training.data.people_photos import PeoplePhotos, read_people
from training.data.prepare import CENTRAL, DOMINANT
from training.data.skipped import COPY, Summary, printable
from training.errors import TrainingError
from training.evaluation.open_set import HEADER, PEOPLE, Photos, Results, compare, galleries, row, search
from training.markdown import table
from training.store import load_model

PHOTOS = (1, 2, 3, 5)  # of each person, enrolled
DRAWS = 20  # galleries of each size
LEGEND = """FPIR: share of strangers' photos that are identified as somebody. TPIR: share of known people's photos that
are identified correctly. In brackets: 95 % intervals, by bootstrap over people. Error: mean difference between
confidence and accuracy. Alone: share of known people's / strangers' photos that MobileFaceNet decides alone."""


def evaluate_people(
    uri: str, folders: Sequence[Path], strangers: Path | None, *, level: int | None = None, strict: bool = False
) -> str:
    """Measure how well people like these are identified, and strangers are not, by number of people and of photos.

    In each draw some people are enrolled as `enrol` does, with the embedding `generic`, and the others are strangers.
    folders, strangers: with one folder of photos per person; people in `strangers` are never enrolled. level: of the
    people's folders, see `read_people`; strict: a photo that is skipped is an error. -> Markdown. Raises TrainingError.
    """
    snapshot = load_model(uri).emptied()
    read = read_people(folders, level)
    unknown = read_people([strangers], level, data_set=True) if strangers else PeoplePhotos({})
    people, others, skipped = read.people, unknown.people, [*read.skipped, *unknown.skipped]
    both = sorted(set(people) & set(others))
    if both:
        raise TrainingError(f"{both[0]} is among the people and among the strangers.")
    numbers = {name: number for number, name in enumerate([*people, *others])}
    found = [(name, path) for group in (people, others) for name in group for path in group[name]]
    photos = _without_copies(found, skipped)
    data = embed(snapshot, [(str(path), numbers[name]) for name, path in photos], DOMINANT, skipped)
    used = len(np.unique(data.owners))
    Summary(used, len(data.owners), skipped, (*read.ignored, *unknown.ignored)).finish(strict)
    candidates, never = np.arange(len(people)), np.arange(len(people), len(numbers))
    texts = {count: _table(snapshot, data, candidates, never, count) for count in PHOTOS}
    tables = [f"### Photos of each person: {count}\n\n{text}" for count, text in texts.items() if text]
    if not tables:
        raise TrainingError("Nobody has two photos in which a face was found: one is enrolled, and one is searched.")
    return "\n\n".join([f"Model {snapshot.version}, {used} people, {len(data.owners)} photos.", LEGEND, *tables])


def _without_copies(photos: Sequence[tuple[str, Path]], skipped: list[Skipped]) -> list[tuple[str, Path]]:
    """Leave out copies of photos: a copy would be searched in a gallery that holds the same photo.

    skipped: list to which the copies are added.
    """
    _, first = find_duplicates([path for _, path in photos])
    skipped += [Skipped(printable(photos[i][1]), COPY) for i, j in enumerate(first) if i != j]
    return [photo for i, photo in enumerate(photos) if first[i] == i]


def embed(
    snapshot: Snapshot,
    photos: Sequence[tuple[str, int]],
    face: str = CENTRAL,
    skipped: list[Skipped] | None = None,
) -> Photos:
    """Embed the photos in which a face is found. photos: path, and number of the person; the others: see `align`."""
    size, mobile = snapshot.gallery.spec.size, snapshot.gallery.spec.mobile
    nothing = np.zeros((0, size), np.float32)
    parts = [(np.zeros(0, np.int64), np.zeros(0, bool), nothing, nothing)]
    faces = [(path, number, face) for path, number in photos]
    for batch in aligned_batches(faces, snapshot.network.config.crop, "align", skipped=skipped):
        embeddings = snapshot.embed_to_enrol(batch.crops, batch.landmark_crops)
        parts.append((batch.labels, batch.reliable, *embeddings))
    owners, reliable, whole, enrolled = (np.concatenate(column) for column in zip(*parts))
    return Photos(owners, reliable, whole, normalize(whole[:, -mobile:]), enrolled, snapshot.gallery.loaded())


def _table(snapshot: Snapshot, data: Photos, candidates: np.ndarray, strangers: np.ndarray, photos: int) -> str | None:
    """Make the table for one number of photos of each person. None if nobody has more photos."""
    calibrations, random = snapshot.network.config.calibrations, np.random.RandomState(0)
    found: dict[int, list[Results]] = {}
    for _ in range(DRAWS):
        compared = compare(data, candidates, strangers, photos, random)
        largest = min(compared.whole.shape[1], PEOPLE[-1])
        for size, part in galleries(compared, sorted({*PEOPLE, largest} - {0}), random):
            found.setdefault(size, []).append(search(part, calibrations[GENERIC], calibrations[MOBILE]))
    return table(HEADER, [row(size, found[size]) for size in sorted(found)]) if found else None
