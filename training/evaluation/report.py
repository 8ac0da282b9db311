"""report: write the results of a training run to report.json and, with plots, to report.html."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from matplotlib.figure import Figure

from model.embedding import TUNED
from training.atomic_files import atomic_write, write_json
from training.data.dataset import CROPS, Dataset, dataset
from training.data.prepare import TRAIN, VAL, examples
from training.data.skipped import REASONS, printable
from training.evaluation import plots
from training.evaluation.evaluate import Assessment, load_assessment, load_calibrations
from training.evaluation.repeat import spread
from training.records import Record, Run, packages

TEMPLATE = Path(__file__).with_name("report.html.j2")
SHOWN_ERRORS = 40  # misidentified photos on the contact sheet
SPLIT_COUNTS = ("images", "train_images", "val_images", "strangers", "stranger_images")


def write_report(run: Run) -> None:
    """Write both files from the records of the steps; optional steps that were not run are left out.

    Raises TrainingError if a required step was not run.
    """
    data, found = dataset(run), load_assessment(run)
    content = report(run, data, found)
    write_json(run.out / "report.json", content)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["percent"] = lambda share: f"{share:.2%}"
    environment.filters["label"] = _label
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    plots_by_name = {name: _data_uri(figure) for name, figure in _plots(run, data, found).items()}
    with atomic_write(run.out / "report.html") as partial:
        partial.write_text(page.render(report=content, plots=plots_by_name, reasons=REASONS), encoding="utf-8")


def _label(metric: str) -> str:
    """The label of one of the metrics of `repeat.spread`."""
    name, _, fpir = metric.partition(" ")
    if name == "named_at_strangers_accepted":
        return f"TPIR at {float(fpir):.1%} FPIR"
    return {
        "val_accuracy": "rank-1 accuracy",
        "val_top5": "rank-5 accuracy",
        "cross_validated named": "cross-validated TPIR",
        "cross_validated strangers_accepted": "cross-validated FPIR",
        "cross_validated calibration_error": "cross-validated calibration error",
    }[metric]


def report(run: Run, data: Dataset, found: Assessment) -> dict[str, Any]:
    """The content of report.json."""
    precision = run.record("export")["inputs"]["precision"]
    steps = (
        "prepare",
        "align",
        f"features-{precision}",
        "finetune",
        "evaluate",
        "repeat",
        "verify",
        "export",
        "stress",
    )
    records = {step: run.record(step) for step in steps if run.has(step)}
    return {
        **_data_content(run, data),
        "parameters": run.record("finetune")["facts"]["parameters"],
        **_accuracy_content(run),
        "wrong": _misidentified(run, data, found),
        "per_person": _per_person(data, found),
        **_optional_content(records),
        **_provenance(run),
        "seconds": {step: record["seconds"] for step, record in records.items()},
    }


def _data_content(run: Run, data: Dataset) -> dict[str, Any]:
    prepared, aligned = run.record("prepare")["facts"], run.record("align")["facts"]
    return {
        "classes": len(data.names),
        "people": len(data.names),
        **{name: prepared[name] for name in (*SPLIT_COUNTS, "duplicates", "look_alikes")},
        "left_out": aligned["left_out"],
    }


def _accuracy_content(run: Run) -> dict[str, Any]:
    """Metrics of the exported file where it was measured, otherwise those of `evaluate`."""
    evaluated, exported = run.record("evaluate")["facts"], run.record("export")["facts"]
    return {
        "val_accuracy": exported["val_accuracy"],
        "val_named_at_threshold": exported["val_named_at_threshold"],
        "val_decided_by_mobilefacenet": exported["val_decided_by_mobilefacenet"],
        "embedding": exported["embedding"],
        **{name: value for name, value in evaluated.items() if name != "val_accuracy"},
        "precision": run.record("export")["inputs"]["precision"],
        **{name: exported[name] for name in ("feature_cosine_to_fp32", "fp32_val_accuracy") if name in exported},
    }


def _optional_content(records: dict[str, Record]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if "repeat" in records:
        runs = records["repeat"]["facts"]["runs"]
        content["seeds"] = {"seeds": [result["seed"] for result in runs], "figures": spread(runs)}
    content.update({step: records[step]["facts"] for step in ("verify", "stress") if step in records})
    return content


def _provenance(run: Run) -> dict[str, Any]:
    prepared, exported = run.record("prepare"), run.record("export")["facts"]
    return {
        "model": {"version": exported["version"], "bytes": exported["bytes"]},
        "seed": prepared["inputs"]["seed"],
        "recipe": run.record("finetune")["inputs"]["recipe"],
        "data_digest": prepared["facts"]["digest"],
        "git_commit": git_commit(),
        "versions": packages(),
    }


def git_commit() -> str | None:
    """The commit of this code, with the suffix -dirty if files were modified. None outside a git checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _confidence(run: Run, found: Assessment) -> np.ndarray:
    """Confidences of the known people's probes."""
    return load_calibrations(run)[TUNED].confidence(found.known.top_score, len(found.gallery))


def _misidentified(run: Run, data: Dataset, found: Assessment) -> list[dict[str, Any]]:
    """The misidentified val photos, highest confidence first."""
    _, rows = examples(run)
    val = data.rows[data.splits == VAL]
    wrong = np.flatnonzero(~found.known.correct)
    confidence = _confidence(run, found)
    return [
        {
            "photo": printable("/".join(Path(rows[val[i]].path).parts[-2:])),
            "is": data.names[found.known.labels[i]],
            "named": data.names[found.known.predicted[i]],
            "confidence": round(float(confidence[i]), 4),
        }
        for i in wrong[np.argsort(-confidence[wrong])]
    ]


def _per_person(data: Dataset, found: Assessment) -> list[dict[str, Any]]:
    """Numbers of train, val and correctly identified val photos of everyone with val photos, lowest accuracy first."""
    people = len(data.names)
    train = np.bincount(data.labels[data.splits == TRAIN], minlength=people)
    val = np.bincount(found.known.labels, minlength=people)
    correct = np.bincount(found.known.labels[found.known.correct], minlength=people)
    accuracy = correct / np.maximum(val, 1)
    return [
        {"id": int(i), "name": data.names[i], "train": int(train[i]), "val": int(val[i]), "right": int(correct[i])}
        for i in np.lexsort((np.arange(people), -val, accuracy))
        if val[i]
    ]


def _plots(run: Run, data: Dataset, found: Assessment) -> dict[str, Figure]:
    cross_validated = run.record("evaluate")["facts"]["cross_validated"]
    return {
        "curves": plots.curves(run.record("finetune")["facts"]["history"]),
        "open_set": plots.open_set(found.known, found.strangers),
        "thresholds": plots.thresholds(found.known, found.strangers, load_calibrations(run)[TUNED], len(found.gallery)),
        "calibration": plots.calibration(cross_validated["calibration"], cross_validated["calibration_error"]),
        "wrong": contact_sheet(run, data, found),
    }


def contact_sheet(run: Run, data: Dataset, found: Assessment) -> Figure:
    """Show misidentified photos, each beside a training photo of the predicted person, highest confidence first."""
    crops = np.load(run.out / CROPS, mmap_mode="r")
    val, train = (data.rows[data.splits == split] for split in (VAL, TRAIN))
    train_labels = data.labels[data.splits == TRAIN]
    wrong = np.flatnonzero(~found.known.correct)
    confidence = _confidence(run, found)
    tiles = []
    for i in wrong[np.argsort(-confidence[wrong])][:SHOWN_ERRORS]:
        predicted = found.known.predicted[i]
        other = train[np.flatnonzero(train_labels == predicted)[0]]
        tiles.append((np.asarray(crops[val[i]]), f"{data.names[found.known.labels[i]]}\nidentified as"))
        tiles.append((np.asarray(crops[other]), f"{data.names[predicted]}\n{confidence[i]:.2f}"))
    return plots.sheet(tiles)


def _data_uri(figure: Figure) -> str:
    return "data:image/png;base64," + base64.b64encode(plots.png(figure)).decode()
