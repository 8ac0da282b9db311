"""finetune: train the head on the features -> head.npz, an embedding tuned to the people of this data set.

Linear(1792, 512) initialised from the pretrained network, L2 normalisation, Linear(512, people), cross-entropy, SGD,
StepLR. The backbone is frozen and in eval mode, so its features are computed once and not in every epoch.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from training.atomic_files import atomic_write
from training.data.dataset import Dataset, dataset
from training.data.prepare import TRAIN, VAL
from training.network.backbone import EMBEDDING, FEATURES, count_parameters, load_pretrained
from training.network.features import load_features
from training.records import Run


def _option(default: float, help_text: str) -> Any:
    return field(default=default, metadata={"help": help_text})


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of the training. Each is an option of the command line.

    The learning rate is high because embeddings have length 1: the classifier's weights must become large before a
    softmax over hundreds of people is confident.
    """

    epochs: int = _option(20, "passes over the training photos")
    batch: int = _option(64, "photos in a batch")
    lr: float = _option(8.0, "learning rate of SGD")
    momentum: float = _option(0.9, "momentum of SGD")
    weight_decay: float = _option(0.0, "weight decay of SGD")
    step: int = _option(7, "epochs after which the learning rate is multiplied by gamma")
    gamma: float = _option(0.1, "factor of the learning rate after each step")


class Head(nn.Module):
    """The trained layers: embedding and classifier. classes: number of people."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Linear(FEATURES, EMBEDDING, bias=False)
        self.classifier = nn.Linear(EMBEDDING, classes)

    def embed(self, features: torch.Tensor) -> torch.Tensor:
        """Compute embeddings, [N, 512] of length 1, from features [N, 1792]."""
        return F.normalize(self.embedding(features), dim=1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Compute logits, [N, classes], from features [N, 1792]."""
        logits: torch.Tensor = self.classifier(self.embed(features))
        return logits


def train_head(features: np.ndarray, data: Dataset, recipe: Recipe, seed: int) -> tuple[Head, list[dict[str, float]]]:
    """Train a head, on a GPU if there is one, and return it with loss and accuracy on both splits after each epoch.

    features: float32 [N, 1792] in the order of `data`; can be memory-mapped.
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
            loss, accuracy = _run_epoch(head, features, data.labels, order.permutation(train), recipe.batch, optimizer)
            schedule.step()
            row = {"train_loss": loss, "train_accuracy": accuracy}
            if len(val):
                with torch.no_grad():
                    row["val_loss"], row["val_accuracy"] = _run_epoch(head, features, data.labels, val, recipe.batch)
            history.append(row)
            epochs.set_postfix({name: f"{value:.4f}" for name, value in row.items()})
    head.cpu().eval()
    return head, history


def _run_epoch(
    head: Head,
    features: np.ndarray,
    labels: np.ndarray,
    rows: np.ndarray,
    size: int,
    optimizer: torch.optim.Optimizer | None = None,
) -> tuple[float, float]:
    """Return mean loss and accuracy over `rows`, in their order and in batches of `size`. Trains if given an optimizer.

    labels: int64 [N]; rows: indices of features and labels.
    """
    device = head.embedding.weight.device
    loss_sum = correct = 0.0
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
        correct += int((logits.argmax(1) == target).sum())
    return loss_sum / len(rows), correct / len(rows)


def finetune(run: Run, precision: str, recipe: Recipe, seed: int) -> None:
    """Run the step `finetune` on the features of one precision. Raises TrainingError if `features` has not been run.

    The head can be used with either precision, so it can also be trained where int8 is not available.
    """
    inputs = {"features": run.identity(f"features-{precision}"), "recipe": asdict(recipe), "seed": seed}

    def work() -> dict[str, Any]:
        head, history = train_head(load_features(run, precision), dataset(run), recipe, seed)
        with atomic_write(run.out / "head.npz") as partial, partial.open("wb") as file:
            # Not torch.save: the serving version cannot read files of newer torch versions.
            np.savez(file, **{name: tensor.numpy() for name, tensor in head.state_dict().items()})
        return {"history": history, "parameters": count_parameters(load_pretrained(), len(head.classifier.bias))}

    run.step("finetune", inputs, ["head.npz"], work)


def load_head(run: Run) -> Head:
    """Load the trained head, in eval mode. Raises TrainingError if `finetune` has not been run."""
    run.record("finetune")
    with np.load(run.out / "head.npz") as file:
        state = {name: torch.from_numpy(file[name]) for name in file.files}
    head = Head(len(state["classifier.bias"]))
    head.load_state_dict(state)
    head.eval()
    return head
