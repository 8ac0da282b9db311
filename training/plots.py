"""Pictures of a training run, as PNG."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator

from training.steps import replacing


def curves(history: list[dict[str, float]], path: Path) -> None:
    """Loss and accuracy of both splits by epoch."""
    epochs = range(1, len(history) + 1)
    figure, sides = plt.subplots(1, 2, figsize=(10, 4), constrained_layout=True)
    for axes, measure in zip(sides, ("loss", "accuracy")):
        for split in ("train", "val"):
            values = [row[f"{split}_{measure}"] for row in history if f"{split}_{measure}" in row]
            if values:
                axes.plot(epochs, values, marker="o", markersize=3, label=f"{split}, last {values[-1]:.4f}")
        axes.set_xlabel("epoch")
        axes.set_title(f"cross-entropy {measure}" if measure == "loss" else measure)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=100)
    plt.close(figure)
