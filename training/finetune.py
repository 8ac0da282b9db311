"""finetune: features -> head.npz, an embedding that tells this data set's people apart.

The original recipe: Linear(1792, 512) from the pretrained network, L2 norm, Linear(512, people), cross-entropy, SGD,
StepLR. The trunk stays frozen and in eval mode, so its features are computed once and not with each epoch.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from training import plots
from training.features import dataset, load_features
from training.prepare import TRAIN, VAL
from training.steps import Run, replacing
from training.trunk import EMBEDDING, FEATURES, load_pretrained


@dataclass(frozen=True)
class Recipe:
    """step and gamma: StepLR multiplies the learning rate by gamma after each step epochs.

    The rate is high because embeddings have length 1: the classifier's weights have far to go before a softmax over
    hundreds of people is sure of anything.
    """

    epochs: int = 20
    batch: int = 64
    lr: float = 8.0
    momentum: float = 0.9
    weight_decay: float = 0.0
    step: int = 7
    gamma: float = 0.1


class Head(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Linear(FEATURES, EMBEDDING, bias=False)
        self.classifier = nn.Linear(EMBEDDING, classes)

    def embed(self, features: torch.Tensor) -> torch.Tensor:
        """[N, 1792] -> [N, 512], of length 1."""
        return F.normalize(self.embedding(features), dim=1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """[N, 1792] -> logits [N, classes]."""
        logits: torch.Tensor = self.classifier(self.embed(features))
        return logits


def train_head(
    features: torch.Tensor,
    labels: torch.Tensor,
    val: tuple[torch.Tensor, torch.Tensor],
    head: Head,
    recipe: Recipe,
    seed: int,
) -> list[dict[str, float]]:
    """Train in place; returns loss and accuracy on both splits after each epoch. features: [N, 1792]; labels: [N]."""
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(
        head.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, recipe.step, recipe.gamma)
    history = []
    with tqdm(range(recipe.epochs), desc="finetune", unit=" epochs") as epochs:
        for _ in epochs:
            loss_sum = right = 0.0
            for batch in torch.randperm(len(labels), generator=order).split(recipe.batch):
                logits = head(features[batch])
                loss = F.cross_entropy(logits, labels[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                loss_sum += float(loss.detach()) * len(batch)
                right += int((logits.argmax(1) == labels[batch]).sum())
            schedule.step()
            row = {"train_loss": loss_sum / len(labels), "train_accuracy": right / len(labels)}
            if len(val[1]):
                with torch.no_grad():
                    logits = head(val[0])
                    row["val_loss"] = float(F.cross_entropy(logits, val[1]))
                    row["val_accuracy"] = float((logits.argmax(1) == val[1]).float().mean())
            history.append(row)
            epochs.set_postfix({name: f"{value:.4f}" for name, value in row.items()})
    return history


def finetune(run: Run, precision: str, recipe: Recipe, seed: int) -> None:
    """On the features of that precision; the head serves any, so it may be trained where int8 cannot be."""
    inputs = {"features": run.identity(f"features-{precision}"), "recipe": asdict(recipe), "seed": seed}

    def work() -> dict[str, Any]:
        data = dataset(run)
        vectors = torch.from_numpy(load_features(run, precision))
        labels = torch.from_numpy(data.labels)
        train, val = (torch.from_numpy(np.flatnonzero(data.splits == split)) for split in (TRAIN, VAL))
        torch.manual_seed(seed)
        head = Head(len(data.names))
        head.embedding.weight.data.copy_(load_pretrained()["last_linear.weight"])
        history = train_head(vectors[train], labels[train], (vectors[val], labels[val]), head, recipe, seed)
        with replacing(run.out / "head.npz") as partial, partial.open("wb") as file:
            # Not torch.save: what a newer torch writes, the serving one cannot read.
            np.savez(file, **{name: tensor.numpy() for name, tensor in head.state_dict().items()})
        plots.curves(history, run.out / "curves.png")
        return {"history": history}

    run.step("finetune", inputs, ["head.npz", "curves.png"], work)


def load_head(run: Run) -> Head:
    run.record("finetune")
    with np.load(run.out / "head.npz") as file:
        state = {name: torch.from_numpy(file[name]) for name in file.files}
    head = Head(len(state["classifier.bias"]))
    head.load_state_dict(state)
    head.eval()
    return head
