"""Pictures of a training run."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from training.evaluation.metrics import FALSE_ACCEPT_RATES, Probes, confidence_of, named_at, threshold_at

STEPS = 200  # points of a curve


def png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return file.getvalue()


def _axes(title: str, across: str, up: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot(title=title, xlabel=across, ylabel=up)
    axes.grid(alpha=0.3)
    return figure, axes


def curves(history: Sequence[dict[str, float]]) -> Figure:
    """Loss and accuracy of both splits by epoch."""
    epochs = range(1, len(history) + 1)
    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, measure in zip(figure.subplots(1, 2), ("loss", "accuracy")):
        for split in ("train", "val"):
            values = [row[f"{split}_{measure}"] for row in history if f"{split}_{measure}" in row]
            if values:
                axes.plot(epochs, values, marker="o", markersize=3, label=f"{split}, last {values[-1]:.4f}")
        axes.set(xlabel="epoch", title=f"cross-entropy {measure}" if measure == "loss" else measure)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def open_set(known: Probes, strangers: Probes) -> Figure:
    """Known people named rightly against strangers accepted, as the threshold moves."""
    figure, axes = _axes("open set", "strangers' photos taken for somebody", "known people named rightly")
    rates = np.geomspace(min(FALSE_ACCEPT_RATES) / 2, 1, STEPS)
    axes.plot(rates, [named_at(known, threshold_at(strangers, rate)) for rate in rates])
    for rate in FALSE_ACCEPT_RATES:
        named = named_at(known, threshold_at(strangers, rate))
        axes.plot(rate, named, "o", color="C1")
        axes.annotate(f"{named:.1%} at {rate:.1%}", (rate, named), (6, -14), textcoords="offset points")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda rate, _: f"{rate:.1%}")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    return figure


def thresholds(known: Probes, strangers: Probes, slope: float, intercept: float, threshold: float) -> Figure:
    """What each threshold, as a confidence, lets through."""
    figure, axes = _axes("threshold", "threshold (confidence)", "share of photos")
    marks = np.linspace(0, 1, STEPS)
    accepted, others = (confidence_of(part.best, slope, intercept) for part in (known, strangers))
    axes.plot(marks, [((accepted >= mark) & known.right).mean() for mark in marks], label="known, named rightly")
    axes.plot(marks, [((accepted >= mark) & ~known.right).mean() for mark in marks], label="known, named wrongly")
    axes.plot(marks, [(others >= mark).mean() for mark in marks], label="strangers taken for somebody")
    axes.axvline(threshold, color="grey", linestyle="--", label=f"the model's own, {threshold:.2f}")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend()
    return figure


def calibration(rows: Sequence[dict[str, float]], error: float) -> Figure:
    """Is a confidence of 0.9 right nine times in ten? rows: as of `metrics.reliability`."""
    figure, axes = _axes(f"calibration, mean error {error:.3f}", "confidence", "share that is right")
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--")
    axes.plot([row["confidence"] for row in rows], [row["right"] for row in rows], "o-")
    for row in rows:
        place = (row["confidence"], row["right"])
        axes.annotate(f"{row['probes']}", place, (5, -10), textcoords="offset points", fontsize=7)
    return figure


def sheet(tiles: Sequence[tuple[np.ndarray, str]], columns: int = 8) -> Figure:
    """Pictures in a grid, each with a line or two of text below. tiles: uint8 [H, W, 3] RGB, text."""
    rows = max(1, -(-len(tiles) // columns))
    figure = Figure(figsize=(1.5 * columns, 1.9 * rows), layout="constrained")
    grid = np.ravel(figure.subplots(rows, columns, squeeze=False))
    for axes in grid:
        axes.axis("off")
    for axes, (picture, text) in zip(grid, tiles):
        axes.imshow(picture)
        axes.set_title(text, fontsize=8, y=0, va="top", pad=-2)
    return figure


def confusion(known: Probes, names: Sequence[str], people: int = 15) -> Figure:
    """Who is taken for whom, for the people with most photos named wrongly."""
    wrong = known[~known.right]
    counts = np.bincount(wrong.labels, minlength=len(names))
    worst = [i for i in np.argsort(-counts, kind="stable")[:people] if counts[i]]
    shown = list(dict.fromkeys([*worst, *wrong.named[np.isin(wrong.labels, worst)].tolist()]))
    table = np.array([[((known.labels == row) & (known.named == column)).sum() for column in shown] for row in worst])
    side = 2 + 0.3 * len(shown)
    figure = Figure(figsize=(side + 2, 2 + 0.3 * len(worst)), layout="constrained")
    axes = figure.add_subplot(title="worst classes", xlabel="named", ylabel="is")
    if not worst:
        axes.text(0.5, 0.5, "no photo was named wrongly", ha="center")
        return figure
    axes.imshow(table, cmap="Blues", aspect="auto")
    axes.set_xticks(range(len(shown)), [names[i] for i in shown], rotation=60, ha="right", fontsize=7)
    axes.set_yticks(range(len(worst)), [names[i] for i in worst], fontsize=7)
    for (row, column), count in np.ndenumerate(table):
        if count:
            axes.text(column, row, str(count), ha="center", va="center", fontsize=7, color=_ink(count, table))
    return figure


def _ink(count: Any, table: np.ndarray) -> str:
    return "white" if count > table.max() / 2 else "black"
