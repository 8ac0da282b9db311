"""Accuracy of a training run by group of people.

    python -m benchmarks.groups runs/lfw

LFW provides no attributes of people except their names. The first grouping is by the usual gender of the first name
(gender-guesser), which is wrong for some people and gives no information about age, origin or skin colour. The second
is by the number of training photos. Prints Markdown tables of the val photos and the strangers of the run.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import List, NamedTuple, Sequence

import numpy as np
from gender_guesser.detector import Detector

from benchmarks.bundled import percent
from model.calibration import DEFAULT_STRICTNESS
from model.embedding import TUNED
from training.data.dataset import Dataset, dataset
from training.data.prepare import STRANGER, TRAIN, examples
from training.data.sources import display_name
from training.evaluation.evaluate import load_assessment, load_calibrations
from training.evaluation.metrics import Probes
from training.markdown import table
from training.network.base import load_base, outside_cohort
from training.records import Run

GENDERS = {"male": "male", "mostly_male": "male", "female": "female", "mostly_female": "female"}
NO_LIMIT = 1_000_000
PHOTOS = ((1, 3), (4, 9), (10, NO_LIMIT))  # ranges of the number of training photos, inclusive

Rows = List[List[str]]


def usual_genders(names: Sequence[str]) -> np.ndarray:
    """Usual gender of the first names, str [N]."""
    detector = Detector(case_sensitive=False)
    return np.array([GENDERS.get(detector.get_gender(name.split()[0]), "both, or unknown") for name in names])


def share(part: np.ndarray) -> str:
    """Percentage of true values, empty for an empty array. part: bool [N]."""
    return percent(part.mean(), 1) if len(part) else ""


class Results(NamedTuple):
    """Probes of a run. accepted: scores at or above the model's threshold, bool [N]."""

    probes: Probes
    accepted: np.ndarray

    def cells(self, selection: np.ndarray) -> list[str]:
        """Number of photos, rank-1 accuracy and TPIR. selection: photos of known people, bool [N]."""
        correct = self.probes.correct[selection]
        return [f"{selection.sum()}", share(correct), share(correct & self.accepted[selection])]


def apply_threshold(run: Run, probes: Probes, people: int) -> Results:
    """Compare the probes' scores with the threshold of the run's model. people: in its gallery."""
    threshold = load_calibrations(run)[TUNED].threshold(people, DEFAULT_STRICTNESS)
    return Results(probes, probes.top_score >= threshold)


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a training run")
    run = Run(parser.parse_args().run)
    data, found = dataset(run), load_assessment(run)
    known, strangers = (apply_threshold(run, probes, len(data.names)) for probes in (found.known, found.strangers))
    _, listed = examples(run)
    searched = data.rows[(data.splits == STRANGER) & outside_cohort(run, load_base(run))]
    if len(searched) != len(strangers.accepted):  # the cohort, which has no names, took the place of too few strangers
        searched, strangers = searched[:0], Results(Probes.none(), np.zeros(0, bool))
    stranger_names = [display_name(Path(listed[row].path).parent.name) for row in searched]
    header = ["people", "val photos", "rank-1 accuracy", "TPIR"]
    first_name = ["usual gender of the first name", *header, "strangers' photos", "FPIR"]
    print(table(first_name, by_first_name(data.names, known, stranger_names, strangers)), end="\n\n")
    print(table(["training photos", *header], by_photos(data, known)))


if __name__ == "__main__":
    main()
