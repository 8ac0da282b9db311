"""export: networks, embeddings and people -> networks and their gallery, as the service loads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from torch import nn
from tqdm import tqdm

from model.crop import CropSpec
from model.embedding import GENERIC, TUNED
from model.gallery import Gallery
from model.networks import COHORT, CONFIG, MOBILE_WEIGHTS, NetworkConfig, to_tensor
from storage.networks import POINTER, Snapshot, load_current
from training.data.dataset import (
    BATCH,
    DIGESTS,
    Dataset,
    dataset,
    evenly_spaced,
    read_crops,
)
from training.data.prepare import TRAIN, VAL
from training.errors import TrainingError, log
from training.evaluation.evaluate import Features, embed, load_calibrations, load_inputs
from training.evaluation.evaluate_model import search_crops
from training.evaluation.gallery import mean_embeddings, mean_gallery
from training.network.backbone import Conv, fold, forward, load_pretrained, pretrained_layer
from training.network.base import Base, load_base, to_int8, unpack_cohort
from training.network.embeddings import Embedding, load_embeddings
from training.network.features import INT8, SERVING_TORCH, select_backend
from training.network.finetune import load_head
from training.network.script import EmbeddingScript
from training.publishing.versions import write_version
from training.records import Run, packages
from training.store import latest, open_store

MAX_LOSS = 0.003  # of val accuracy, int8 against fp32
COMPARED = 2000  # val photos at most


def require_serving_torch() -> None:
    """Check the version of torch: the serving version refuses files of newer ones. Raises TrainingError."""
    if torch.__version__.split("+")[0] != SERVING_TORCH:
        raise TrainingError(
            f"The model must be written with torch {SERVING_TORCH}, which serves it. "
            f"This is torch {torch.__version__}. "
            "Run this step under Python 3.8 with requirements.txt, for example: "
            "uv run --python 3.8 --with-requirements requirements.txt python -m training export --out DIR"
        )


def export(run: Run, precision: str, collection: str) -> None:
    """Write a version below DIR/model: the networks, and the collection of the people in the training.

    The collection holds the embedding that identifies more of these people: `tuned`, or `generic` where training did
    not help. Raises TrainingError if int8 lost more than 0.3 points of accuracy.
    """
    require_serving_torch()
    inputs = {"evaluate": run.identity("evaluate"), "precision": precision, "collection": collection}
    if run.has("repeat"):
        inputs["repeat"] = run.identity("repeat")
    models = run.out / "model"

    def work() -> dict[str, Any]:
        data, base = dataset(run), load_base(run)
        embeddings, chosen = load_embeddings(run, precision, base.digest()), better_embedding(run)
        features = load_inputs(run, precision, base)
        gallery = _gallery(run, data, embeddings[chosen], base, features)
        network = _Network(run, precision, base, embeddings)
        facts: dict[str, Any] = {"embedding": chosen}
        if precision == INT8:
            facts.update(_against_fp32(run, data, network.convs, embeddings[chosen], gallery, features))
        with open_store(str(models)) as blobs:
            _, etag = latest(blobs)
            pointer = write_version(models, network.save, gallery, collection, etag)
            facts.update(_as_exported(run, load_current(blobs), data))
        return {**facts, "version": pointer.version, "bytes": pointer.bytes}

    record = run.step("export", inputs, ["model/" + POINTER], work)
    facts = record["facts"]
    log(f"model {facts['version']} is in {models}; its collection holds the embedding {facts['embedding']}")


def better_embedding(run: Run) -> str:
    """Return the embedding with the higher TPIR at 1 % FPIR: over the seeds of `repeat`, or else of `evaluate`.

    If both are equal, it is `generic`: a collection with it survives another training.
    """
    facts = run.record("evaluate")["facts"]
    runs = run.record("repeat")["facts"]["runs"] if run.has("repeat") else [facts]
    tuned, generic = (
        np.mean([each["named_at_strangers_accepted"]["0.01"] for each in found])
        for found in (runs, [each[GENERIC] for each in runs])
    )
    return TUNED if tuned > generic else GENERIC


def _gallery(run: Run, data: Dataset, embedding: Embedding, base: Base, features: Features) -> Gallery:
    """Make the gallery of the training photos, with the digests of each person's photos."""
    batches = embed(embedding, features, data, TRAIN)
    means = mean_embeddings(batches, len(data.names), embedding.spec.size)
    digests = np.load(run.out / DIGESTS)[data.rows]
    photos: list[list[str]] = [[] for _ in data.names]
    for i in np.flatnonzero(data.splits == TRAIN):
        photos[data.labels[i]].append(str(digests[i], "ascii"))
    return mean_gallery(embedding.spec, base.cohort(embedding), data.names, means, [tuple(each) for each in photos])


class _Network:
    """The file model.pt of a run."""

    def __init__(self, run: Run, precision: str, base: Base, embeddings: dict[str, Embedding]) -> None:
        self._run, self._precision, self._base, self._embeddings = run, precision, base, embeddings
        self._pretrained = load_pretrained()
        self.convs = fold(self._pretrained)

    def save(self, path: Path) -> None:
        """Write the TorchScript file."""
        config, scales = self._config(), self._run.record(f"features-{self._precision}")["facts"]["scales"]
        with torch.no_grad():
            tuned = load_head(self._run).embedding.weight.data
            network = EmbeddingScript(self.convs, scales, pretrained_layer(self._pretrained), tuned, config.crop.size)
            script = torch.jit.script(network)
        extra = torch._C.ExtraFilesMap()
        extra[CONFIG] = config.to_json()
        extra[MOBILE_WEIGHTS] = self._base.files[MOBILE_WEIGHTS]
        extra[COHORT] = self._cohort()
        # `save` ends the process where the disk is full.
        path.write_bytes(script.save_to_buffer(_extra_files=extra))

    def _config(self) -> NetworkConfig:
        evaluated = self._run.record("evaluate")["facts"]
        metrics = {key: evaluated[key] for key in ("val_accuracy", "named_at_strangers_accepted", "stranger_probes")}
        specs = {name: embedding.spec for name, embedding in self._embeddings.items()}
        crop = CropSpec(**self._run.record("align")["inputs"]["crop"])
        return NetworkConfig(crop, specs, load_calibrations(self._run), self._precision, metrics, packages())

    def _cohort(self) -> bytes:
        """Encode the cohort: features for the next training, and InceptionResnetV1's embeddings for the service."""
        arrays = dict(self._base.strangers)
        features, _ = unpack_cohort(arrays)
        arrays.update({name: to_int8(each.inception(features)) for name, each in self._embeddings.items()})
        data: bytes = safetensors.numpy.save(arrays)
        return data


def _against_fp32(
    run: Run, data: Dataset, convs: dict[str, Conv], embedding: Embedding, gallery: Gallery, stored: Features
) -> dict[str, float]:
    """Compare with the fp32 backbone on at most COMPARED val photos, with the same embedding and gallery.

    stored: with int8 features. Raises TrainingError if int8 is worse by more than MAX_LOSS.
    """
    fp32, val = select_backend(convs, None), np.flatnonzero(data.splits == VAL)
    val = val[evenly_spaced(len(val), COMPARED)]
    with torch.no_grad():
        batches = tqdm(read_crops(run, data.rows[val]), total=-(-len(val) // BATCH), desc="compare with fp32")
        exact = torch.cat([forward(fp32, to_tensor(crops)).cpu() for crops in batches])
        int8 = torch.from_numpy(stored.inception[val])
        cosine = float(nn.functional.cosine_similarity(exact, int8).mean())
    embeddings = (embedding.embed(features.numpy(), stored.mobile[val]) for features in (exact, int8))
    fp32_accuracy, int8_accuracy = (
        float((gallery.search(each, 1).ids[:, 0] == data.labels[val]).mean()) for each in embeddings
    )
    if fp32_accuracy - int8_accuracy > MAX_LOSS:
        raise TrainingError(
            f"int8 names {int8_accuracy:.2%} of the val photos correctly and fp32 {fp32_accuracy:.2%}: the "
            "loss is too large. Use --precision fp32."
        )
    return {"feature_cosine_to_fp32": cosine, "fp32_val_accuracy": fp32_accuracy}


def _as_exported(run: Run, snapshot: Snapshot, data: Dataset) -> dict[str, float]:
    """Measure the accuracy of the exported files on the val photos, loaded and searched as by the service."""
    found, known, alone = search_crops(snapshot, run, data, np.flatnonzero(data.splits == VAL))
    total = run.record("prepare")["facts"]["val_images"]
    return {
        "val_accuracy": int(found.correct.sum()) / total,
        "val_named_at_threshold": int((found.correct & known).sum()) / total,
        "val_decided_by_mobilefacenet": int(alone.sum()) / total,
    }
