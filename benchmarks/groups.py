"""Whom a trained model serves better or worse, as far as the data can show.

    python -m benchmarks.groups runs/lfw

LFW says nothing of the people in it but their names. So the first groups are by the gender that a first name is usually
given to (gender-guesser), which is wrong for some and says nothing of age, origin or skin; the others are by the number
of photos somebody was trained with. Prints Markdown tables of the val photos and the strangers of a training run.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple, Sequence

import numpy as np
from gender_guesser.detector import Detector

from benchmarks.bundled import percent
from benchmarks.functions import table
from training.data.dataset import Dataset, dataset
from training.data.prepare import STRANGER, TRAIN, examples
from training.data.sources import display
from training.evaluation.evaluate import load_assessment
from training.evaluation.metrics import Probes, confidence_of
from training.records import Run

GENDERS = {"male": "a man's", "mostly_male": "a man's", "female": "a woman's", "mostly_female": "a woman's"}
MANY = 1_000_000
PHOTOS = ((1, 3), (4, 9), (10, MANY))  # trained with, from and to


def usual_genders(names: Sequence[str]) -> np.ndarray:
    detector = Detector(case_sensitive=False)
    return np.array([GENDERS.get(detector.get_gender(name.split()[0]), "either's, or not known") for name in names])


def share(part: np.ndarray) -> str:
    """Of those that are true, empty where there are none at all."""
    return percent(part.mean(), 1) if len(part) else ""


class Judged(NamedTuple):
    """What a run's model says. known: which of its probes are taken for somebody."""

    probes: Probes
    known: np.ndarray

    def cells(self, which: np.ndarray) -> list[str]:
        """Of some known people's: how many, named rightly, and above the threshold as well."""
        right = self.probes.correct[which]
        return [f"{which.sum()}", share(right), share(right & self.known[which])]


def evaluate_scores(run: Run, probes: Probes) -> Judged:
    facts = run.record("evaluate")["facts"]
    return Judged(probes, confidence_of(probes.top_score, facts["slope"], facts["intercept"]) >= facts["threshold"])


def by_name(names: Sequence[str], people: Judged, strangers: Sequence[str], others: Judged) -> list[list[str]]:
    """strangers: the name of each of their photos."""
    genders, theirs = usual_genders(names), usual_genders(strangers)
    rows = []
    for group in sorted({*genders, *theirs}):
        cells = people.cells(genders[people.probes.labels] == group)
        outside = others.known[theirs == group]
        rows.append([group, f"{(genders == group).sum()}", *cells, f"{len(outside)}", share(outside)])
    return rows


def by_photos(data: Dataset, people: Judged) -> list[list[str]]:
    trained = np.bincount(data.labels[data.splits == TRAIN], minlength=len(data.names))
    rows = []
    for first, last in PHOTOS:
        group = (trained >= first) & (trained <= last)
        title = f"{first} to {last}" if last < MANY else f"{first} and more"
        rows.append([title, f"{group.sum()}", *people.cells(group[people.probes.labels])])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a training run")
    run = Run(parser.parse_args().run)
    data, found = dataset(run), load_assessment(run)
    people, others = evaluate_scores(run, found.known), evaluate_scores(run, found.strangers)
    _, listed = examples(run)
    strangers = [display(Path(listed[row].path).parent.name) for row in data.rows[data.splits == STRANGER]]
    header = ["people", "val photos", "right name", "and known"]
    usually = ["a first name that is usually", *header, "strangers' photos", "taken for somebody"]
    print(table(usually, by_name(data.names, people, strangers, others)), end="\n\n")
    print(table(["photos trained with", *header], by_photos(data, people)))


if __name__ == "__main__":
    main()
