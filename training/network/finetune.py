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

from training.atomic_files import atomic_write
from training.data.dataset import Dataset, dataset
from training.data.prepare import TRAIN, VAL
from training.network.backbone import EMBEDDING, FEATURES, load_pretrained, parameters
from training.network.features import load_features
from training.records import Run


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


def train_head(features: np.ndarray, data: Dataset, recipe: Recipe, seed: int) -> tuple[Head, list[dict[str, float]]]:
    """The head, with loss and accuracy on both splits after each epoch. features: [rows, 1792], may lie on disk.

    On a GPU, where there is one.
    """
    torch.manual_seed(seed)
    head = Head(len(data.names))
    head.embedding.weight.data.copy_(load_pretrained()["last_linear.weight"])
    head.to("cuda" if torch.cuda.is_available() else "cpu")
    optimizer = torch.optim.SGD(
        head.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, recipe.step, recipe.gamma)
    order = np.random.RandomState(seed)
    train, val = (np.flatnonzero(data.splits == split) for split in (TRAIN, VAL))
    history = []
    with tqdm(range(recipe.epochs), desc="finetune", unit=" epochs") as epochs:
        for _ in epochs:
            loss, accuracy = _epoch(head, features, data.labels, order.permutation(train), recipe.batch, optimizer)
            schedule.step()
            row = {"train_loss": loss, "train_accuracy": accuracy}
            if len(val):
                with torch.no_grad():
                    row["val_loss"], row["val_accuracy"] = _epoch(head, features, data.labels, val, recipe.batch)
            history.append(row)
            epochs.set_postfix({name: f"{value:.4f}" for name, value in row.items()})
    head.cpu().eval()
    return head, history


def _epoch(
    head: Head,
    features: np.ndarray,
    labels: np.ndarray,
    rows: np.ndarray,
    size: int,
    optimizer: torch.optim.Optimizer | None = None,
) -> tuple[float, float]:
    """Mean loss and accuracy over `rows` in their order, `size` at a time; an optimizer trains on them."""
    device = head.embedding.weight.device
    loss_sum = right = 0.0
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        target = torch.from_numpy(labels[batch]).to(device)
        logits = head(torch.from_numpy(features[batch]).to(device))
        loss = F.cross_entropy(logits, target)
        if optimizer:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        loss_sum += float(loss.detach()) * len(batch)
        right += int((logits.argmax(1) == target).sum())
    return loss_sum / len(rows), right / len(rows)


def finetune(run: Run, precision: str, recipe: Recipe, seed: int) -> None:
    """On the features of that precision; the head serves any, so it may be trained where int8 cannot be."""
    inputs = {"features": run.identity(f"features-{precision}"), "recipe": asdict(recipe), "seed": seed}

    def work() -> dict[str, Any]:
        head, history = train_head(load_features(run, precision), dataset(run), recipe, seed)
        with atomic_write(run.out / "head.npz") as partial, partial.open("wb") as file:
            # Not torch.save: what a newer torch writes, the serving one cannot read.
            np.savez(file, **{name: tensor.numpy() for name, tensor in head.state_dict().items()})
        return {"history": history, "parameters": parameters(load_pretrained(), len(head.classifier.bias))}

    run.step("finetune", inputs, ["head.npz"], work)


def load_head(run: Run) -> Head:
    run.record("finetune")
    with np.load(run.out / "head.npz") as file:
        state = {name: torch.from_numpy(file[name]) for name in file.files}
    head = Head(len(state["classifier.bias"]))
    head.load_state_dict(state)
    head.eval()
    return head
