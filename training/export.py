"""export: trunk, head, gallery and people -> one TorchScript file that the service loads with nothing else."""

from __future__ import annotations

import json
import os
import platform
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from torch import nn
from tqdm import tqdm

from model.faces import CropSpec
from model.recognizer import CONFIG, PEOPLE, Config, Person, Recognizer
from model.store import POINTER, Pointer
from training.evaluate import Served, load_served
from training.features import (
    BATCH,
    INT8,
    SERVING_TORCH,
    crops_of,
    dataset,
    load_features,
    trunk,
)
from training.finetune import load_head
from training.network import Network
from training.prepare import TRAIN, VAL
from training.steps import Run, TrainingError, replacing, say, write_json
from training.trunk import Conv, fold, forward, load_pretrained, parameters

MAX_LOSS = 0.003  # of val accuracy, int8 against fp32


def versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "pillow": PIL.__version__,
    }


def require_serving_torch() -> None:
    """Raises TrainingError: a newer torch writes files that the serving one refuses."""
    if torch.__version__.split("+")[0] != SERVING_TORCH:
        raise TrainingError(
            f"The model has to be written by torch {SERVING_TORCH}, which serves it, and this is {torch.__version__}. "
            "Run this step under Python 3.8 with requirements.txt, for example: "
            "uv run --python 3.8 --with-requirements requirements.txt python -m training export --out DIR"
        )


def save_version(script: torch.jit.ScriptModule, config: Config, people: list[Person], models: Path) -> Pointer:
    """Write a new version below `models`, then the pointer to it. What is cut off leaves the old version in force."""
    extra = torch._C.ExtraFilesMap()
    extra[CONFIG] = config.to_json()
    extra[PEOPLE] = json.dumps([{"id": p.id, "name": p.name, "photos": list(p.photos)} for p in people])
    partial = models / ".new"
    partial.mkdir(parents=True, exist_ok=True)
    try:
        script.save(str(partial / "model.pt"), _extra_files=extra)
        pointer = Pointer.of(partial / "model.pt")
        target = models / pointer.version
        if not target.exists():
            os.replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    with replacing(models / POINTER) as path:
        path.write_text(pointer.to_json())
    return pointer


def export(run: Run, precision: str) -> None:
    """Write DIR/model and DIR/report.json. Raises TrainingError where int8 lost more than 0.3 points of accuracy."""
    require_serving_torch()
    inputs = {"evaluate": run.identity("evaluate"), "precision": precision}

    def work() -> dict[str, Any]:
        data, served, head = dataset(run), load_served(run), load_head(run)
        evaluated = run.record("evaluate")["facts"]
        scales = run.record(f"features-{precision}")["facts"]["scales"]
        convs = fold(load_pretrained())
        val = np.flatnonzero(data.splits == VAL)
        facts: dict[str, Any] = {}
        if precision == INT8:
            facts = _against_fp32(
                run, data.rows[val], data.labels[val], convs, served, load_features(run, precision)[val]
            )
            if facts["fp32_val_accuracy"] - evaluated["val_accuracy"] > MAX_LOSS:
                raise TrainingError(
                    f"int8 has {evaluated['val_accuracy']:.4f} of the val photos right and fp32 "
                    f"{facts['fp32_val_accuracy']:.4f}: too much is lost. Use --precision fp32."
                )
        with torch.no_grad():
            script = torch.jit.script(
                Network(convs, scales, head.embedding.weight.data, served.means, served.slope, served.intercept)
            )
        digests = np.load(run.out / "digests.npy")[data.rows]
        trained = data.splits == TRAIN
        people = [
            Person(i, name, tuple(str(d, "ascii") for d in digests[trained & (data.labels == i)]))
            for i, name in enumerate(data.names)
        ]
        crop = CropSpec(**run.record("align")["inputs"]["crop"])
        metrics = {key: evaluated[key] for key in ("val_accuracy", "named_at_strangers_accepted", "stranger_probes")}
        config = Config(crop, served.threshold, precision, metrics, versions())
        pointer = save_version(script, config, people, run.out / "model")
        facts.update(_as_exported(run, pointer, data.rows[val], data.labels[val]))
        return {**facts, "version": pointer.version, "bytes": pointer.bytes}

    record = run.step("export", inputs, ["model/" + POINTER], work)
    write_json(run.out / "report.json", report(run, precision))
    say(f"model {record['facts']['version']} and report.json are in {run.out}")


def _against_fp32(
    run: Run, rows: np.ndarray, labels: np.ndarray, convs: dict[str, Conv], served: Served, features: np.ndarray
) -> dict[str, float]:
    """The val photos through the fp32 trunk, with the same head and gallery."""
    network, head = trunk(convs, None), load_head(run)
    with torch.no_grad():
        batches = tqdm(crops_of(run, rows), total=-(-len(rows) // BATCH), desc="compare with fp32", unit=" batches")
        exact = torch.cat([forward(network, crops).cpu() for crops in batches])
        cosine = nn.functional.cosine_similarity(exact, torch.from_numpy(features)).mean()
        right = served.logits(head.embed(exact).numpy()).argmax(axis=1) == labels
    total = run.record("prepare")["facts"]["val_images"]
    return {"feature_cosine_to_fp32": float(cosine), "fp32_val_accuracy": float(right.sum() / total)}


def _as_exported(run: Run, pointer: Pointer, rows: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The val photos through the file itself, as the service loads it."""
    recognizer = Recognizer(run.out / "model" / pointer.file, pointer.version)
    right = accepted = 0
    for start, crops in zip(range(0, len(rows), BATCH), crops_of(run, rows)):
        confidence = recognizer.classify(crops.permute(0, 2, 3, 1).numpy())[0]
        named = confidence.argmax(axis=1) == labels[start : start + BATCH]
        right += int(named.sum())
        accepted += int((named & (confidence.max(axis=1) >= recognizer.config.threshold)).sum())
    total = run.record("prepare")["facts"]["val_images"]
    return {"val_accuracy": right / total, "val_named_at_threshold": accepted / total}


def report(run: Run, precision: str) -> dict[str, Any]:
    """What a run found, from its records."""
    prepared, aligned = run.record("prepare"), run.record("align")["facts"]
    evaluated, exported = run.record("evaluate")["facts"], run.record("export")["facts"]
    steps = ["prepare", "align", f"features-{precision}", "finetune", "evaluate", "export"]
    classes = len(prepared["facts"]["people"])
    counts = {
        key: prepared["facts"][key] for key in ("images", "train_images", "val_images", "strangers", "stranger_images")
    }
    return {
        "classes": classes,
        "people": classes,
        **counts,
        "faceless": len(aligned["faceless"]),
        "unreadable": len(aligned["unreadable"]),
        "parameters": parameters(load_pretrained(), classes),
        "val_accuracy": exported["val_accuracy"],
        "val_named_at_threshold": exported["val_named_at_threshold"],
        **{key: value for key, value in evaluated.items() if key not in ("val_accuracy", "slope", "intercept")},
        "precision": precision,
        **{key: exported[key] for key in ("feature_cosine_to_fp32", "fp32_val_accuracy") if key in exported},
        "model": {"version": exported["version"], "bytes": exported["bytes"]},
        "seed": prepared["inputs"]["seed"],
        "recipe": run.record("finetune")["inputs"]["recipe"],
        "seconds": {step: run.record(step)["seconds"] for step in steps},
        "versions": versions(),
    }
