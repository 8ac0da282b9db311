"""Galleries of a training run, and the probes that are searched in them.

Embeddings come in batches, and only a few numbers per probe are kept, so memory does not grow with photos times people.
"""

from __future__ import annotations

from typing import Iterable, NamedTuple, Sequence, Tuple
from uuid import NAMESPACE_OID, uuid5

import numpy as np

from model.cohort import Cohort
from model.embedding import EmbeddingSpec
from model.gallery import Gallery, Matches
from model.index import best
from model.records import EnrolledFace, Person
from storage.galleries import today
from training.evaluation.metrics import Probes

TOP = 5  # candidates: as many as a report counts

Batches = Iterable[Tuple[np.ndarray, np.ndarray]]  # labels int64 [n], embeddings float32 [n, size] of length 1


def mean_embeddings(batches: Batches, people: int, size: int) -> np.ndarray:
    """Compute the mean of each person's embeddings.

    -> float32 [people, size], not normalized: the length shows how similar a person's photos are.
    """
    sums, counts = np.zeros((people, size)), np.zeros(people, np.int64)
    for labels, embeddings in batches:
        np.add.at(sums, labels, embeddings)
        counts += np.bincount(labels, minlength=people)
    return (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)


def mean_gallery(
    spec: EmbeddingSpec,
    cohort: Cohort,
    names: Sequence[str],
    means: np.ndarray,
    photos: Sequence[tuple[str, ...]] | None = None,
) -> Gallery:
    """Make a gallery with one face per person, their mean. Ids are the class indices.

    means: float32 [people, size]; photos: digests of each person's photos.
    """
    faces = [_mean_face(i, name, photos[i] if photos else ()) for i, name in enumerate(names)]
    people = [Person(i, name) for i, name in enumerate(names)]
    return Gallery.of(spec, cohort, people, faces, means)


class Drawn(NamedTuple):
    """Photos of people, as rows. enrolled: int64 [photos], for each person; probes: int64 [N], others of theirs;
    labels: int64 [N], numbers of the probes' people.
    """

    enrolled: list[np.ndarray]
    probes: np.ndarray
    labels: np.ndarray


def draw_photos(
    labels: np.ndarray, people: Iterable[int], photos: int, probes: int, random: np.random.RandomState
) -> Drawn:
    """Draw `photos` of each person to enrol, and at most `probes` others to search. People with too few are left out.

    labels: int64, the person of each row; people: numbers in `labels`.
    """
    drawn = [random.permutation(np.flatnonzero(labels == person)) for person in people]
    drawn = [rows for rows in drawn if len(rows) > photos]
    searched = [rows[photos : photos + probes] for rows in drawn]
    numbers = np.repeat(np.arange(len(drawn)), [len(rows) for rows in searched])
    return Drawn([rows[:photos] for rows in drawn], np.concatenate([np.zeros(0, np.int64), *searched]), numbers)


def _mean_face(person: int, name: str, photos: tuple[str, ...]) -> EnrolledFace:
    # The same training on the same day writes the same bytes, hence no random id and no time of day.
    return EnrolledFace(str(uuid5(NAMESPACE_OID, "/".join([name, *photos]))), person, photos, today())


def search_probes(gallery: Gallery, batches: Batches) -> Probes:
    """Search each probe in the gallery."""
    parts = [Probes.none()]
    for labels, embeddings in batches:
        parts.append(probes_of(gallery.search(embeddings, TOP), labels))
    return Probes.joined(parts)


def top_matches(gallery: Gallery, scores: np.ndarray) -> Matches:
    """Select the TOP people of each row of scores, float32 [N, people]."""
    hits = best(scores, min(TOP, len(gallery)))
    return Matches(gallery.ids[hits.rows], hits.scores)


def probes_of(matches: Matches, labels: np.ndarray) -> Probes:
    """Convert matches to probes. matches: [N, k]; labels: int64 [N], ids of the probes' people, -1 for strangers."""
    hits = matches.ids == labels[:, None]
    rank = np.where(hits.any(axis=1), hits.argmax(axis=1), matches.ids.shape[1])
    return Probes(labels, matches.ids[:, 0], matches.scores[:, 0], rank)
