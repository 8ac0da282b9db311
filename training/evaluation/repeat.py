"""repeat: train with several seeds, each with its own split, to estimate the variation of the metrics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from model.embedding import GENERIC
from training.data.dataset import dataset
from training.data.prepare import VAL, examples, split
from training.evaluation.evaluate import assess, load_inputs, summary
from training.network.base import load_base
from training.network.embeddings import generic_embedding, tuned_embedding
from training.network.finetune import Recipe, train_head
from training.records import Run


def repeat(run: Run, precision: str, seeds: int) -> None:
    """Train and evaluate with the run's recipe and `seeds` consecutive seeds, from the run's own seed on.

    Each seed's split also measures the pretrained embedding, `generic`: does the training help?

    precision: of the features. Raises TrainingError if an earlier step was not run.
    """
    prepared = run.record("prepare")["inputs"]
    recipe = Recipe(**run.record("finetune")["inputs"]["recipe"])
    seed_list = list(range(prepared["seed"], prepared["seed"] + seeds))
    base = load_base(run)
    inputs = {
        "features": run.identity(f"features-{precision}"),
        "mobile": run.identity("mobile"),
        "finetune": run.identity("finetune"),
        "seeds": seed_list,
        "base": base.digest(),
    }

    def work() -> dict[str, Any]:
        names, rows = examples(run)
        data, features = dataset(run), load_inputs(run, precision, base)
        runs = []
        for seed in seed_list:
            splits = np.array([row.split for row in split(rows, names, prepared["val_share"], seed)])
            resplit = replace(data, splits=splits[data.rows])
            head, _ = train_head(features.inception, resplit, recipe, seed)
            tuned, generic = (
                summary(assess(embedding, features, resplit, base), base, int((splits == VAL).sum()))
                for embedding in (tuned_embedding(head), generic_embedding())
            )
            runs.append({"seed": seed, **tuned, GENERIC: generic})
        return {"runs": runs}

    run.step("repeat", inputs, [], work)


def spread(runs: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean, standard deviation, minimum and maximum of each metric. runs: metrics of each seed, at least one."""
    columns = {
        "val_accuracy": [run["val_accuracy"] for run in runs],
        "val_top5": [run["val_top5"] for run in runs],
        **{
            f"named_at_strangers_accepted {fpir}": [run["named_at_strangers_accepted"][fpir] for run in runs]
            for fpir in runs[0]["named_at_strangers_accepted"]
        },
        **{
            f"cross_validated {name}": [run["cross_validated"][name] for run in runs]
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
