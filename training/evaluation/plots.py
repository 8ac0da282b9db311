"""Plots of a training run."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from model.calibration import DEFAULT_STRICTNESS, Calibration
from training.evaluation.metrics import FPIR_LEVELS, Probes, threshold_at_fpir, tpir_at

POINTS = 200  # of a curve


def png(figure: Figure) -> bytes:
    """Render a figure as a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return file.getvalue()


def _axes(title: str, x_label: str, y_label: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot(title=title, xlabel=x_label, ylabel=y_label)
    axes.grid(alpha=0.3)
    return figure, axes


def curves(history: Sequence[dict[str, float]]) -> Figure:
    """Plot loss and accuracy of the train and val splits by epoch. history: as recorded by `finetune`."""
    epochs = range(1, len(history) + 1)
    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, metric in zip(figure.subplots(1, 2), ("loss", "accuracy")):
        for split in ("train", "val"):
            values = [row[f"{split}_{metric}"] for row in history if f"{split}_{metric}" in row]
            if values:
                axes.plot(epochs, values, marker="o", markersize=3, label=f"{split}, last {values[-1]:.4f}")
        axes.set(xlabel="epoch", title=f"cross-entropy {metric}" if metric == "loss" else metric)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def open_set(known: Probes, strangers: Probes) -> Figure:
    """Plot TPIR against FPIR for all thresholds."""
    figure, axes = _axes("open-set identification", "FPIR", "TPIR")
    rates = np.geomspace(min(FPIR_LEVELS) / 2, 1, POINTS)
    axes.plot(rates, [tpir_at(known, threshold_at_fpir(strangers, fpir)) for fpir in rates])
    for fpir in FPIR_LEVELS:
        tpir = tpir_at(known, threshold_at_fpir(strangers, fpir))
        axes.plot(fpir, tpir, "o", color="C1")
        axes.annotate(f"{tpir:.1%} at {fpir:.1%}", (fpir, tpir), (6, -14), textcoords="offset points")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda rate, _: f"{rate:.1%}")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    return figure


def thresholds(known: Probes, strangers: Probes, calibration: Calibration, people: int) -> Figure:
    """Plot TPIR, misidentified known people and FPIR by threshold. people: in the gallery."""
    figure, axes = _axes("threshold", "threshold (confidence)", "share of photos")
    grid = np.linspace(0, 1, POINTS)
    confidence, others = (calibration.confidence(part.top_score, people) for part in (known, strangers))
    score = np.array(calibration.threshold(people, DEFAULT_STRICTNESS))
    threshold = float(calibration.confidence(score, people))
    axes.plot(grid, [((confidence >= x) & known.correct).mean() for x in grid], label="known people, correct (TPIR)")
    axes.plot(grid, [((confidence >= x) & ~known.correct).mean() for x in grid], label="known people, misidentified")
    axes.plot(grid, [(others >= x).mean() for x in grid], label="strangers, identified (FPIR)")
    axes.axvline(threshold, color="grey", linestyle="--", label=f"threshold of the model, {threshold:.2f}")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend()
    return figure


def calibration(rows: Sequence[dict[str, float]], error: float) -> Figure:
    """Plot accuracy by confidence, with the number of probes at each point. rows, error: see `metrics.reliability`."""
    figure, axes = _axes(f"calibration, expected error {error:.3f}", "confidence", "accuracy")
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--")
    axes.plot([row["confidence"] for row in rows], [row["right"] for row in rows], "o-")
    for row in rows:
        point = (row["confidence"], row["right"])
        axes.annotate(f"{row['probes']}", point, (5, -10), textcoords="offset points", fontsize=7)
    return figure


def sheet(tiles: Sequence[tuple[np.ndarray, str]], columns: int = 8) -> Figure:
    """Arrange images in a grid, each with one or two lines of text below. tiles: uint8 [H, W, 3] RGB, text."""
    rows = max(1, -(-len(tiles) // columns))
    figure = Figure(figsize=(1.5 * columns, 1.9 * rows), layout="constrained")
    grid = np.ravel(figure.subplots(rows, columns, squeeze=False))
    for axes in grid:
        axes.axis("off")
    for axes, (image, text) in zip(grid, tiles):
        axes.imshow(image)
        axes.set_title(text, fontsize=8, y=0, va="top", pad=-2)
    return figure


def confusion(known: Probes, names: Sequence[str], people: int = 15) -> Figure:
    """Plot the confusion matrix of the people with the most misidentified photos. people: rows at most."""
    wrong = known[~known.correct]
    counts = np.bincount(wrong.labels, minlength=len(names))
    rows = [i for i in np.argsort(-counts, kind="stable")[:people] if counts[i]]
    columns = list(dict.fromkeys([*rows, *wrong.predicted[np.isin(wrong.labels, rows)].tolist()]))
    figure = Figure(figsize=(4 + 0.3 * len(columns), 2 + 0.3 * len(rows)), layout="constrained")
    axes = figure.add_subplot(title="confusion matrix of the worst classes", xlabel="predicted", ylabel="actual")
    if not rows:
        axes.text(0.5, 0.5, "no photo was misidentified", ha="center")
        return figure
    matrix = np.array([[((known.labels == i) & (known.predicted == j)).sum() for j in columns] for i in rows])
    axes.imshow(matrix, cmap="Blues", aspect="auto")
    axes.set_xticks(range(len(columns)), [names[i] for i in columns], rotation=60, ha="right", fontsize=7)
    axes.set_yticks(range(len(rows)), [names[i] for i in rows], fontsize=7)
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            color = "white" if count > matrix.max() / 2 else "black"
            axes.text(column, row, str(count), ha="center", va="center", fontsize=7, color=color)
    return figure
