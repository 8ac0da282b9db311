"""export: backbone, embeddings and people -> a network and its gallery, as the service loads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from model.calibration import Calibration
from model.crop import CropSpec
from model.embedding import TUNED
from model.gallery import Gallery
from model.networks import CONFIG, NetworkConfig, to_tensor
from storage.networks import POINTER, Snapshot, load_current
from training.data.dataset import BATCH, DIGESTS, Dataset, dataset, evenly_spaced, read_crops
from training.data.prepare import STRANGER, TRAIN, VAL
from training.errors import TrainingError, log
from training.evaluation.evaluate import embed, load_assessment, load_calibrations
from training.evaluation.gallery import mean_gallery, probes_of
from training.network.backbone import Conv, State, fold, forward, load_pretrained, pretrained_layer
from training.network.embeddings import Embedding, load_embeddings
from training.network.features import INT8, SERVING_TORCH, load_features, select_backend
from training.network.finetune import load_head
from training.network.script import EmbeddingScript
from training.publishing.probes import pack_probes
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
    """Write a version below DIR/model: the network, and the collection of the people it was trained on.

    Raises TrainingError if int8 lost more than 0.3 points of accuracy.
    """
    require_serving_torch()
    inputs = {"evaluate": run.identity("evaluate"), "precision": precision, "collection": collection}
    models = run.out / "model"

    def work() -> dict[str, Any]:
        data, features = dataset(run), load_features(run, precision)
        embeddings, calibrations = load_embeddings(run, precision), load_calibrations(run)
        gallery = _gallery(run, data)
        pretrained = load_pretrained()
        convs, tuned = fold(pretrained), embeddings[TUNED]
        facts = {}
        if precision == INT8:
            facts = _against_fp32(run, data, convs, tuned, gallery, features)
        probes = pack_probes(embed(tuned, features, data, VAL), embed(tuned, features, data, STRANGER))
        config = _config(run, precision, embeddings, calibrations)
        with open_store(str(models)) as blobs:
            _, etag = latest(blobs)
            pointer = write_version(
                models,
                lambda path: _save(run, precision, pretrained, convs, config, path),
                gallery,
                collection,
                probes,
                etag,
            )
            facts.update(_as_exported(run, load_current(blobs), data))
        return {**facts, "version": pointer.version, "bytes": pointer.bytes}

    record = run.step("export", inputs, ["model/" + POINTER], work)
    log(f"model {record['facts']['version']} is in {models}")


def _gallery(run: Run, data: Dataset) -> Gallery:
    """Load the gallery of `evaluate`, with the digests of the photos that each person was trained on."""
    found = load_assessment(run).gallery
    digests = np.load(run.out / DIGESTS)[data.rows]
    photos: list[list[str]] = [[] for _ in data.names]
    for i in np.flatnonzero(data.splits == TRAIN):
        photos[data.labels[i]].append(str(digests[i], "ascii"))
    return mean_gallery(found.spec, data.names, found.means, [tuple(each) for each in photos], found.hubness)


def _config(
    run: Run, precision: str, embeddings: dict[str, Embedding], calibrations: dict[str, Calibration]
) -> NetworkConfig:
    evaluated = run.record("evaluate")["facts"]
    metrics = {key: evaluated[key] for key in ("val_accuracy", "named_at_strangers_accepted", "stranger_probes")}
    specs = {name: embedding.spec for name, embedding in embeddings.items()}
    crop = CropSpec(**run.record("align")["inputs"]["crop"])
    return NetworkConfig(crop, specs, calibrations, precision, metrics, packages())


def _save(
    run: Run, precision: str, pretrained: State, convs: dict[str, Conv], config: NetworkConfig, path: Path
) -> None:
    """Write the TorchScript file. convs: `pretrained`, folded."""
    scales = run.record(f"features-{precision}")["facts"]["scales"]
    with torch.no_grad():
        tuned = load_head(run).embedding.weight.data
        network = EmbeddingScript(convs, scales, pretrained_layer(pretrained), tuned, config.crop.size)
        script = torch.jit.script(network)
    extra = torch._C.ExtraFilesMap()
    extra[CONFIG] = config.to_json()
    # `save` ends the process where the disk is full.
    path.write_bytes(script.save_to_buffer(_extra_files=extra))


def _against_fp32(
    run: Run, data: Dataset, convs: dict[str, Conv], tuned: Embedding, gallery: Gallery, stored: np.ndarray
) -> dict[str, float]:
    """Compare with the fp32 backbone on at most COMPARED val photos, with the same embedding and gallery.

    stored: int8 features [rows, 1792]. Raises TrainingError if int8 is worse by more than MAX_LOSS.
    """
    fp32, val = select_backend(convs, None), np.flatnonzero(data.splits == VAL)
    val = val[evenly_spaced(len(val), COMPARED)]
    with torch.no_grad():
        batches = tqdm(read_crops(run, data.rows[val]), total=-(-len(val) // BATCH), desc="compare with fp32")
        exact = torch.cat([forward(fp32, to_tensor(crops)).cpu() for crops in batches])
        int8 = torch.from_numpy(stored[val])
        cosine = float(nn.functional.cosine_similarity(exact, int8).mean())
    fp32_accuracy, int8_accuracy = (
        float((gallery.search(tuned.embed(features.numpy()), 1).ids[:, 0] == data.labels[val]).mean())
        for features in (exact, int8)
    )
    if fp32_accuracy - int8_accuracy > MAX_LOSS:
        raise TrainingError(
            f"int8 names {int8_accuracy:.2%} of the val photos correctly and fp32 {fp32_accuracy:.2%}: the "
            "loss is too large. Use --precision fp32."
        )
    return {"feature_cosine_to_fp32": cosine, "fp32_val_accuracy": fp32_accuracy}


def _as_exported(run: Run, snapshot: Snapshot, data: Dataset) -> dict[str, float]:
    """Measure the accuracy of the exported files on the val photos, loaded as by the service."""
    calibration = snapshot.calibration
    val = np.flatnonzero(data.splits == VAL)
    correct = accepted = 0
    for start, crops in zip(range(0, len(val), BATCH), read_crops(run, data.rows[val])):
        matches = snapshot.gallery.search(snapshot.embed(crops), 1)
        found = probes_of(matches, data.labels[val[start : start + BATCH]])
        correct += int(found.correct.sum())
        accepted += int((found.correct & (calibration.confidence(found.top_score) >= calibration.threshold)).sum())
    total = run.record("prepare")["facts"]["val_images"]
    return {"val_accuracy": correct / total, "val_named_at_threshold": accepted / total}
