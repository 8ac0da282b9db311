"""Accuracy of a training run's exported model by group of people and of photos, as it is served.

    python -m benchmarks.groups runs/lfw

LFW provides no attributes of people except their names. The first grouping is by the usual gender of the first name
(gender-guesser), which is wrong for some people and gives no information about age, origin or skin colour. The second
is by the number of training photos. The third is by the turn of the head: how far the nose lies beside the middle of
the eyes, in distances of the eyes. 0.15 is a slight turn, 0.3 a half profile; LFW has few photos beyond, because a
detector of frontal faces selected them. Prints Markdown tables of the val photos and the strangers of the run.
"""

from __future__ import annotations

from pathlib import Path
from typing import List, NamedTuple, Sequence

import numpy as np
from gender_guesser.detector import Detector as GenderDetector
from tqdm import tqdm

from benchmarks.bundled import percent
from benchmarks.options import parser_of
from model.crop import nearest_centre
from model.detection.detector import Detector
from model.photo import decode
from storage.networks import Snapshot
from training.data.dataset import Dataset, dataset
from training.data.folder_names import display_name
from training.data.prepare import STRANGER, TRAIN, VAL, Example, examples
from training.evaluation.evaluate_model import search_crops
from training.evaluation.metrics import Probes
from training.markdown import table
from training.network.base import load_base, outside_cohort
from training.records import Run
from training.store import load_model

GENDERS = {"male": "male", "mostly_male": "male", "female": "female", "mostly_female": "female"}
NO_LIMIT = 1_000_000
PHOTOS = ((1, 3), (4, 9), (10, NO_LIMIT))  # ranges of the number of training photos, inclusive
TURNS = (0, 0.15, 0.3, NO_LIMIT)  # limits of the groups by turn of the head

Rows = List[List[str]]


def usual_genders(names: Sequence[str]) -> np.ndarray:
    """Usual gender of the first names, str [N]."""
    detector = GenderDetector(case_sensitive=False)
    return np.array([GENDERS.get(detector.get_gender(name.split()[0]), "both, or unknown") for name in names])


def share(part: np.ndarray) -> str:
    """Percentage of true values, empty for an empty array. part: bool [N]."""
    return percent(part.mean(), 1) if len(part) else ""


class Results(NamedTuple):
    """Photos that were searched.

    rows: int64 [N], their rows in photos.csv; accepted: bool [N], identified as somebody.
    """

    rows: np.ndarray
    probes: Probes
    accepted: np.ndarray

    def cells(self, selection: np.ndarray) -> list[str]:
        """Number of photos, rank-1 accuracy and TPIR. selection: photos of known people, bool [N]."""
        correct = self.probes.correct[selection]
        return [f"{selection.sum()}", share(correct), share(correct & self.accepted[selection])]


def search(run: Run, data: Dataset, snapshot: Snapshot, chosen: np.ndarray) -> Results:
    """Search photos as the service does. chosen: bool, of `data`."""
    positions = np.flatnonzero(chosen)
    probes, known, _ = search_crops(snapshot, run, data, positions)
    return Results(data.rows[positions], probes, known)


def turn(landmarks: np.ndarray) -> float:
    """Return how far the nose lies beside the middle of the eyes, in distances of the eyes. landmarks: see `Face`."""
    eyes = landmarks[1] - landmarks[0]
    return float(abs((landmarks[2] - landmarks[:2].mean(axis=0)) @ eyes) / max(eyes @ eyes, 1e-9))


def turns(listed: Sequence[Example], rows: np.ndarray) -> np.ndarray:
    """Detect the faces of some rows again, and return the turn of each, float [N]."""
    detector, found = Detector(), []
    for row in tqdm(rows, desc="turn", unit=" photos"):
        photo = decode(Path(listed[row].path).read_bytes())
        found.append(turn(nearest_centre(detector.detect(photo), photo).landmarks))
    return np.array(found)


def by_first_name(names: Sequence[str], known: Results, stranger_names: Sequence[str], strangers: Results) -> Rows:
    """Rows of the table by first name. names: of the known people; stranger_names: of each of the strangers' photos."""
    genders, stranger_genders = usual_genders(names), usual_genders(stranger_names)
    rows = []
    for group in sorted({*genders, *stranger_genders}):
        cells = known.cells(genders[known.probes.labels] == group)
        accepted = strangers.accepted[stranger_genders == group]
        rows.append([group, f"{(genders == group).sum()}", *cells, f"{len(accepted)}", share(accepted)])
    return rows


def by_photos(data: Dataset, known: Results) -> Rows:
    """Rows of the table by number of training photos."""
    trained = np.bincount(data.labels[data.splits == TRAIN], minlength=len(data.names))
    rows = []
    for first, last in PHOTOS:
        group = (trained >= first) & (trained <= last)
        title = f"{first} to {last}" if last < NO_LIMIT else f"{first} and more"
        rows.append([title, f"{group.sum()}", *known.cells(group[known.probes.labels])])
    return rows


def by_turn(listed: Sequence[Example], known: Results, strangers: Results) -> Rows:
    """Rows of the table by turn of the head."""
    angles, others = (turns(listed, found.rows) for found in (known, strangers))
    rows = []
    for low, high in zip(TURNS, TURNS[1:]):
        title = f"{low:g} to {high:g}" if high < NO_LIMIT else f"{low:g} and more"
        accepted = strangers.accepted[(others >= low) & (others < high)]
        cells = known.cells((angles >= low) & (angles < high))
        rows.append([title, *cells, f"{len(accepted)}", share(accepted)])
    return rows


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("run", type=Path, help="folder of a training run")
    run = Run(parser.parse_args().run)
    data, snapshot, (_, listed) = dataset(run), load_model(str(run.out / "model")), examples(run)
    known = search(run, data, snapshot, data.splits == VAL)
    strangers = search(run, data, snapshot, (data.splits == STRANGER) & outside_cohort(run, load_base(run)))
    stranger_names = [display_name(Path(listed[row].path).parent.name) for row in strangers.rows]
    header = ["val photos", "rank-1 accuracy", "TPIR"]
    rest = ["strangers' photos", "FPIR"]
    first_name = ["usual gender of the first name", "people", *header, *rest]
    print(table(first_name, by_first_name(data.names, known, stranger_names, strangers)), end="\n\n")
    print(table(["training photos", "people", *header], by_photos(data, known)), end="\n\n")
    print(table(["turn of the head", *header, *rest], by_turn(listed, known, strangers)))


if __name__ == "__main__":
    main()
