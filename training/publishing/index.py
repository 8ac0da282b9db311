"""people index: cluster the people of a large collection, so that it is searched faster."""

from __future__ import annotations

from typing import Any

import numpy as np
from tqdm import tqdm

from model.clusters import Clusters
from model.embedding import normalize
from model.gallery import FLAT_PEOPLE, Gallery
from service.errors import UnknownCollection
from storage.errors import BlobNotFound
from storage.live_collections import LiveCollections
from training.errors import TrainingError, log
from training.publishing.collections import Access, service_errors

PEOPLE = 1000  # in a cluster, on average
SAMPLES = 64  # people for each cluster, from whom the centroids are found
ITERATIONS = 10
MIN_PEOPLE = 16  # in a cluster: the centroid of fewer would be nearly the face of one of them
ROWS = 16_384  # people at a time


def build_index(access: Access, collection: str | None) -> int:
    """Cluster the people of a collection and store the result beside its segments. -> number of people in it.

    Raises TrainingError.
    """
    if not isinstance(access.collections, LiveCollections):
        raise TrainingError("A database keeps an index of its own: this command is for collections in a folder or S3.")
    key, stored = collection or access.galleries.default, access.collections.stored
    with service_errors():
        try:
            revision = stored.read(key, access.galleries.snapshot().cohort)
        except BlobNotFound:
            raise UnknownCollection(f"There is no collection {key} that can change.") from None
        people = len(revision.gallery.ids)
        if people <= FLAT_PEOPLE:
            raise TrainingError(f"The collection {key} has {people:,} people: up to {FLAT_PEOPLE:,} need no index.")
        clusters = cluster(revision.gallery)
        stored.write_index(key, clusters)
    log(f"{people:,} people in {len(clusters.centroids):,} clusters")
    return people


def cluster(gallery: Gallery, seed: int = 0) -> Clusters:
    """Cluster the people of a gallery by their whole embeddings, with spherical k-means."""
    import faiss  # only this command needs it

    rows = np.flatnonzero(gallery.face_counts)
    count = max(1, len(rows) // PEOPLE)
    sample = np.random.RandomState(seed).choice(rows, min(len(rows), SAMPLES * count), replace=False)
    kmeans: Any = faiss.Kmeans(gallery.spec.size, count, niter=ITERATIONS, spherical=True, seed=seed)
    kmeans.train(_embeddings(gallery, np.sort(sample)))
    centroids: np.ndarray = kmeans.centroids
    numbers = _nearest(gallery, rows, centroids)
    large = np.flatnonzero(np.bincount(numbers, minlength=count) >= MIN_PEOPLE)
    if len(large) < count:
        centroids = centroids[large]
        numbers = _nearest(gallery, rows, centroids)
    return Clusters(gallery.ids[rows], numbers, centroids, gallery.spec.mobile)


def _embeddings(gallery: Gallery, rows: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(normalize(gallery.means_of(rows)), np.float32)


def _nearest(gallery: Gallery, rows: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Return the nearest centroid of each person, int32 [rows]."""
    found = [
        (_embeddings(gallery, rows[start : start + ROWS]) @ centroids.T).argmax(axis=1)
        for start in tqdm(range(0, len(rows), ROWS), desc="index", disable=None)
    ]
    return np.concatenate(found).astype(np.int32)
