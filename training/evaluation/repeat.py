"""repeat: the same training with other seeds, each with its own split: how far one run's figures can be trusted."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np

from training.data.dataset import dataset
from training.data.prepare import VAL, examples, split
from training.evaluation.evaluate import assess, summary
from training.network.embeddings import tuned_embedding
from training.network.features import load_features
from training.network.finetune import Recipe, train_head
from training.records import Run


def repeat(run: Run, precision: str, seeds: int) -> None:
    """With the run's recipe, its own seed and the ones that follow it. Raises TrainingError."""
    prepared = run.record("prepare")["inputs"]
    recipe = Recipe(**run.record("finetune")["inputs"]["recipe"])
    chosen = list(range(prepared["seed"], prepared["seed"] + seeds))
    inputs = {"features": run.identity(f"features-{precision}"), "recipe": asdict(recipe), "seeds": chosen}

    def work() -> dict[str, Any]:
        names, rows = examples(run)
        data, features = dataset(run), load_features(run, precision)
        runs = []
        for seed in chosen:
            again = split(rows, names, prepared["val_share"], seed)
            splits = np.array([row.split for row in again])
            part = replace(data, splits=splits[data.rows])
            head, _ = train_head(features, part, recipe, seed)
            found = summary(assess(tuned_embedding(head), features, part), int((splits == VAL).sum()))
            runs.append({"seed": seed, **found})
        return {"runs": runs}

    run.step("repeat", inputs, [], work)


def spread(runs: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean, standard deviation, lowest and highest of each figure over the runs."""
    columns = {
        "val_accuracy": [found["val_accuracy"] for found in runs],
        "val_top5": [found["val_top5"] for found in runs],
        **{
            f"named_at_strangers_accepted {rate}": [found["named_at_strangers_accepted"][rate] for found in runs]
            for rate in runs[0]["named_at_strangers_accepted"]
        },
        **{
            f"cross_validated {name}": [found["cross_validated"][name] for found in runs]
            for name in ("named", "strangers_accepted", "calibration_error")
        },
    }
    return {
        name: {
            "mean": float(np.mean(values)),
            "standard_deviation": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
            "lowest": min(values),
            "highest": max(values),
        }
        for name, values in columns.items()
    }
