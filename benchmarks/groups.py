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
from typing import Iterable, NamedTuple, Sequence

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
KNOWN, STRANGERS = ["val photos", "rank-1 accuracy", "TPIR"], ["strangers' photos", "FPIR"]


def usual_genders(names: Iterable[str]) -> np.ndarray:
    """Usual gender of the first names, str [N]."""
    detector = GenderDetector(case_sensitive=False)
    return np.array([GENDERS.get(detector.get_gender(name.split()[0]), "both, or unknown") for name in names])


def share(part: np.ndarray) -> str:
    """Percentage of true values, empty for an empty array. part: bool [N]."""
    return percent(part.mean(), 1) if len(part) else ""


class Results(NamedTuple):
    """Photos that were searched.

    rows: int64 [N], their rows in photos.csv; probes: of known people or strangers; accepted: bool [N], identified as
    somebody.
    """

    rows: np.ndarray
    probes: Probes
    accepted: np.ndarray

    def known(self, selection: np.ndarray) -> list[str]:
        """Cells of KNOWN. selection: photos of known people, bool [N]."""
        correct = self.probes.correct[selection]
        return [f"{selection.sum()}", share(correct), share(correct & self.accepted[selection])]

    def strangers(self, selection: np.ndarray) -> list[str]:
        """Cells of STRANGERS. selection: photos of strangers, bool [N]."""
        return [f"{selection.sum()}", share(self.accepted[selection])]


def search(run: Run, data: Dataset, snapshot: Snapshot, chosen: np.ndarray) -> Results:
    """Search photos as the service does. chosen: bool, of `data`."""
    positions = np.flatnonzero(chosen)
    probes, accepted, _ = search_crops(snapshot, run, data, positions)
    return Results(data.rows[positions], probes, accepted)


def turns(listed: Sequence[Example], rows: np.ndarray) -> np.ndarray:
    """Detect the faces of some rows again, and return the turn of each, float [N]."""
    detector, found = Detector(), []
    for row in tqdm(rows, desc="turn", unit=" photos"):
        photo = decode(Path(listed[row].path).read_bytes())
        landmarks = nearest_centre(detector.detect(photo), photo).landmarks
        eyes = landmarks[1] - landmarks[0]
        found.append(abs((landmarks[2] - landmarks[:2].mean(axis=0)) @ eyes) / max(eyes @ eyes, 1e-9))
    return np.array(found)


def titles(ranges: Iterable[tuple[float, float]]) -> list[str]:
    return [f"{low:g} to {high:g}" if high < NO_LIMIT else f"{low:g} and more" for low, high in ranges]


def by_first_name(names: Sequence[str], known: Results, stranger_names: Iterable[str], strangers: Results) -> str:
    """Format the table by first name. names: of the known people; stranger_names: of each of the strangers' photos."""
    genders, stranger_genders, rows = usual_genders(names), usual_genders(stranger_names), []
    for group in sorted({*genders, *stranger_genders}):
        cells = known.known(genders[known.probes.labels] == group), strangers.strangers(stranger_genders == group)
        rows.append([group, f"{(genders == group).sum()}", *cells[0], *cells[1]])
    return table(["usual gender of the first name", "people", *KNOWN, *STRANGERS], rows)


def by_photos(data: Dataset, known: Results) -> str:
    """Format the table by number of training photos."""
    trained = np.bincount(data.labels[data.splits == TRAIN], minlength=len(data.names))
    groups = [(trained >= first) & (trained <= last) for first, last in PHOTOS]
    rows = [
        [title, f"{group.sum()}", *known.known(group[known.probes.labels])]
        for title, group in zip(titles(PHOTOS), groups)
    ]
    return table(["training photos", "people", *KNOWN], rows)


def by_turn(listed: Sequence[Example], known: Results, strangers: Results) -> str:
    """Format the table by turn of the head."""
    angles, others = (np.digitize(turns(listed, found.rows), TURNS[1:]) for found in (known, strangers))
    names = titles(zip(TURNS, TURNS[1:]))
    rows = [[name, *known.known(angles == i), *strangers.strangers(others == i)] for i, name in enumerate(names)]
    return table(["turn of the head", *KNOWN, *STRANGERS], rows)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("run", type=Path, help="folder of a training run")
    run = Run(parser.parse_args().run)
    data, snapshot, (_, listed) = dataset(run), load_model(str(run.out / "model")), examples(run)
    known = search(run, data, snapshot, data.splits == VAL)
    strangers = search(run, data, snapshot, (data.splits == STRANGER) & outside_cohort(run, load_base(run)))
    stranger_names = [display_name(Path(listed[row].path).parent.name) for row in strangers.rows]
    print(by_first_name(data.names, known, stranger_names, strangers), end="\n\n")
    print(by_photos(data, known), end="\n\n")
    print(by_turn(listed, known, strangers))


if __name__ == "__main__":
    main()
