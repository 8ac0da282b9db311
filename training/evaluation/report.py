"""report: what a run found -> report.json, and report.html with the pictures in it."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from matplotlib.figure import Figure

from training.atomic_files import atomic_write, write_json
from training.data.dataset import CROPS, Dataset, dataset
from training.data.prepare import TRAIN, VAL, examples
from training.evaluation import plots
from training.evaluation.evaluate import Assessment, load_assessment
from training.evaluation.metrics import confidence_of
from training.evaluation.repeat import spread
from training.records import Run, packages

TEMPLATE = Path(__file__).with_name("report.html.j2")
WRONG_SHOWN = 40  # photos on the contact sheet


def write_report(run: Run) -> None:
    """From the records of the steps; those that have not been run are left out."""
    data, found = dataset(run), load_assessment(run)
    content = report(run, data, found)
    write_json(run.out / "report.json", content)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["percent"] = lambda share: f"{share:.2%}"
    environment.filters["in_words"] = _in_words
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    pictures = {name: _data_uri(figure) for name, figure in _pictures(run, data, found).items()}
    with atomic_write(run.out / "report.html") as partial:
        partial.write_text(page.render(report=content, pictures=pictures), encoding="utf-8")


def _in_words(figure: str) -> str:
    """A figure of `repeat.spread`."""
    name, _, rest = figure.partition(" ")
    if name == "named_at_strangers_accepted":
        return f"named rightly while {float(rest):.1%} of strangers' photos are taken for somebody"
    return {
        "val_accuracy": "right name first",
        "val_top5": "right name among the first five",
        "cross_validated named": "chosen on half of the people, judged on the other half: named rightly",
        "cross_validated strangers_accepted": "the same: strangers' photos taken for somebody",
        "cross_validated calibration_error": "the same: mean calibration error",
    }[figure]


def report(run: Run, data: Dataset, found: Assessment) -> dict[str, Any]:
    """The content of report.json."""
    prepared, aligned = run.record("prepare"), run.record("align")["facts"]
    evaluated, exported = run.record("evaluate")["facts"], run.record("export")["facts"]
    precision = run.record("export")["inputs"]["precision"]
    steps = [
        "prepare",
        "align",
        f"features-{precision}",
        "finetune",
        "evaluate",
        "repeat",
        "verify",
        "export",
        "stress",
    ]
    records = {step: run.record(step) for step in steps if run.has(step)}
    classes = len(data.names)
    counts = ("images", "train_images", "val_images", "strangers", "stranger_images")
    content: dict[str, Any] = {
        "classes": classes,
        "people": classes,
        **{name: prepared["facts"][name] for name in counts},
        **{name: prepared["facts"][name] for name in ("duplicates", "look_alikes")},
        **{name: len(aligned[name]) for name in ("faceless", "unreadable")},
        "left_out": {name: aligned[name] for name in ("faceless", "unreadable")},
        "parameters": run.record("finetune")["facts"]["parameters"],
        "val_accuracy": exported["val_accuracy"],
        "val_named_at_threshold": exported["val_named_at_threshold"],
        **{name: value for name, value in evaluated.items() if name not in ("val_accuracy", "slope", "intercept")},
        "precision": precision,
        **{name: exported[name] for name in ("feature_cosine_to_fp32", "fp32_val_accuracy") if name in exported},
        "wrong": _wrong(run, data, found),
        "per_person": _per_person(data, found),
    }
    if "repeat" in records:
        runs = records["repeat"]["facts"]["runs"]
        content["seeds"] = {"seeds": [one["seed"] for one in runs], "figures": spread(runs)}
    for step in ("verify", "stress"):
        if step in records:
            content[step] = records[step]["facts"]
    content["model"] = {"version": exported["version"], "bytes": exported["bytes"]}
    content["seed"] = prepared["inputs"]["seed"]
    content["recipe"] = run.record("finetune")["inputs"]["recipe"]
    content["data_digest"] = prepared["facts"]["digest"]
    content["git_commit"] = git_commit()
    content["versions"] = packages()
    content["seconds"] = {step: record["seconds"] for step, record in records.items()}
    return content


def git_commit() -> str | None:
    """Of this code, with -dirty where files differ from it. None outside a git checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _confidence(run: Run, scores: np.ndarray) -> np.ndarray:
    facts = run.record("evaluate")["facts"]
    return confidence_of(scores, facts["slope"], facts["intercept"])


def _wrong(run: Run, data: Dataset, found: Assessment) -> list[dict[str, Any]]:
    """The val photos that were named wrongly, surest first."""
    _, rows = examples(run)
    val = data.rows[data.splits == VAL]
    places = np.flatnonzero(~found.known.correct)
    confidence = _confidence(run, found.known.top_score)
    return [
        {
            "photo": "/".join(Path(rows[val[i]].path).parts[-2:]),
            "is": data.names[found.known.labels[i]],
            "named": data.names[found.known.predicted[i]],
            "confidence": round(float(confidence[i]), 4),
        }
        for i in places[np.argsort(-confidence[places])]
    ]


def _per_person(data: Dataset, found: Assessment) -> list[dict[str, Any]]:
    """Photos and those named rightly of each person who has val photos, worst first."""
    people = len(data.names)
    train = np.bincount(data.labels[data.splits == TRAIN], minlength=people)
    val = np.bincount(found.known.labels, minlength=people)
    right = np.bincount(found.known.labels[found.known.correct], minlength=people)
    share = right / np.maximum(val, 1)
    return [
        {"id": int(i), "name": data.names[i], "train": int(train[i]), "val": int(val[i]), "right": int(right[i])}
        for i in np.lexsort((np.arange(people), -val, share))
        if val[i]
    ]


def _pictures(run: Run, data: Dataset, found: Assessment) -> dict[str, Figure]:
    facts = run.record("evaluate")["facts"]
    cross_validated = facts["cross_validated"]
    return {
        "curves": plots.curves(run.record("finetune")["facts"]["history"]),
        "open_set": plots.open_set(found.known, found.strangers),
        "thresholds": plots.thresholds(
            found.known, found.strangers, facts["slope"], facts["intercept"], facts["threshold"]
        ),
        "calibration": plots.calibration(cross_validated["calibration"], cross_validated["calibration_error"]),
        "wrong": contact_sheet(run, data, found),
    }


def contact_sheet(run: Run, data: Dataset, found: Assessment) -> Figure:
    """Each photo named wrongly, beside a training photo of the person it was taken for."""
    crops = np.load(run.out / CROPS, mmap_mode="r")
    val, train = (data.rows[data.splits == split] for split in (VAL, TRAIN))
    train_labels = data.labels[data.splits == TRAIN]
    places = np.flatnonzero(~found.known.correct)
    confidence = _confidence(run, found.known.top_score)
    tiles = []
    for i in places[np.argsort(-confidence[places])][:WRONG_SHOWN]:
        named = found.known.predicted[i]
        other = train[np.flatnonzero(train_labels == named)[0]]
        tiles.append((np.asarray(crops[val[i]]), f"{data.names[found.known.labels[i]]}\ntaken for"))
        tiles.append((np.asarray(crops[other]), f"{data.names[named]}\n{confidence[i]:.2f}"))
    return plots.sheet(tiles)


def _data_uri(figure: Figure) -> str:
    return "data:image/png;base64," + base64.b64encode(plots.png(figure)).decode()
