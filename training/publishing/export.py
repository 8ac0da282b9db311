"""export: trunk, head, gallery and people -> one TorchScript file that the service loads with nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from model.crop import CropSpec
from model.recognizer import Config, Person, Recognizer, to_tensor
from model.store import POINTER, Pointer
from training.data.dataset import BATCH, DIGESTS, Dataset, crops_of, dataset, evenly
from training.data.prepare import STRANGER, TRAIN, VAL
from training.errors import TrainingError, log
from training.evaluation.evaluate import Scorer, embed, load_scorer
from training.evaluation.metrics import evaluate_scores
from training.evaluation.probes import pack_probes
from training.network.backbone import Conv, fold, forward, load_pretrained
from training.network.features import INT8, SERVING_TORCH, backend, load_features
from training.network.finetune import Head, load_head
from training.network.script import Network
from training.publishing.store import save_version
from training.records import Run, packages

MAX_LOSS = 0.003  # of val accuracy, int8 against fp32
COMPARED = 2000  # val photos at most


def require_serving_torch() -> None:
    """Raises TrainingError: a newer torch writes files that the serving one refuses."""
    if torch.__version__.split("+")[0] != SERVING_TORCH:
        raise TrainingError(
            f"The model has to be written by torch {SERVING_TORCH}, which serves it, and this is {torch.__version__}. "
            "Run this step under Python 3.8 with requirements.txt, for example: "
            "uv run --python 3.8 --with-requirements requirements.txt python -m training export --out DIR"
        )


def export(run: Run, precision: str) -> None:
    """Write DIR/model. Raises TrainingError where int8 lost more than 0.3 points of accuracy."""
    require_serving_torch()
    inputs = {"evaluate": run.identity("evaluate"), "precision": precision}

    def work() -> dict[str, Any]:
        data, served, head = dataset(run), load_scorer(run), load_head(run)
        stored = load_features(run, precision)
        crop = CropSpec(**run.record("align")["inputs"]["crop"])
        scales = run.record(f"features-{precision}")["facts"]["scales"]
        convs = fold(load_pretrained())
        facts = _against_fp32(run, data, convs, served, head, stored) if precision == INT8 else {}
        with torch.no_grad():
            weight = head.embedding.weight.data
            network = Network(convs, scales, weight, served.gallery, served.slope, served.intercept, crop.size)
            script = torch.jit.script(network)
        evaluated = run.record("evaluate")["facts"]
        metrics = {key: evaluated[key] for key in ("val_accuracy", "named_at_strangers_accepted", "stranger_probes")}
        config = Config(crop, served.threshold, precision, metrics, packages())
        probes = pack_probes(embed(head, stored, data, VAL), embed(head, stored, data, STRANGER))
        pointer = save_version(script, config, _people(run, data), run.out / "model", probes)
        return {**facts, **_as_exported(run, pointer, data), "version": pointer.version, "bytes": pointer.bytes}

    record = run.step("export", inputs, ["model/" + POINTER], work)
    log(f"model {record['facts']['version']} is in {run.out / 'model'}")


def _people(run: Run, data: Dataset) -> list[Person]:
    """Each with the digests of the photos trained on."""
    digests = np.load(run.out / DIGESTS)[data.rows]
    of_person: dict[int, list[str]] = {}
    for i in np.flatnonzero(data.splits == TRAIN):
        of_person.setdefault(int(data.labels[i]), []).append(str(digests[i], "ascii"))
    return [Person(i, name, tuple(of_person.get(i, ()))) for i, name in enumerate(data.names)]


def _against_fp32(
    run: Run, data: Dataset, convs: dict[str, Conv], served: Scorer, head: Head, stored: np.ndarray
) -> dict[str, float]:
    """At most COMPARED val photos through the fp32 trunk, with the same head and gallery.

    Raises TrainingError where int8 has fewer of them right by more than MAX_LOSS.
    """
    fp32, val = backend(convs, None), np.flatnonzero(data.splits == VAL)
    val = val[evenly(len(val), COMPARED)]
    labels = data.labels[val]
    with torch.no_grad():
        batches = tqdm(crops_of(run, data.rows[val]), total=-(-len(val) // BATCH), desc="compare with fp32")
        exact = torch.cat([forward(fp32, to_tensor(crops)).cpu() for crops in batches])
        int8 = torch.from_numpy(stored[val])
        cosine = float(nn.functional.cosine_similarity(exact, int8).mean())
        fp32_right, int8_right = (
            float((served.logits(head.embed(vectors).numpy()).argmax(axis=1) == labels).mean())
            for vectors in (exact, int8)
        )
    if fp32_right - int8_right > MAX_LOSS:
        raise TrainingError(
            f"int8 names {int8_right:.2%} of the val photos rightly and fp32 {fp32_right:.2%}: too much is lost. "
            "Use --precision fp32."
        )
    return {"feature_cosine_to_fp32": cosine, "fp32_val_accuracy": fp32_right}


def _as_exported(run: Run, pointer: Pointer, data: Dataset) -> dict[str, float]:
    """The val photos through the file itself, as the service loads it."""
    recognizer = Recognizer(run.out / "model" / pointer.file, pointer.version)
    val = np.flatnonzero(data.splits == VAL)
    right = accepted = 0
    for start, crops in zip(range(0, len(val), BATCH), crops_of(run, data.rows[val])):
        found = evaluate_scores(recognizer.classify(crops)[0], data.labels[val[start : start + BATCH]])
        right += int(found.correct.sum())
        accepted += int((found.correct & (found.top_score >= recognizer.config.threshold)).sum())
    total = run.record("prepare")["facts"]["val_images"]
    return {"val_accuracy": right / total, "val_named_at_threshold": accepted / total}
