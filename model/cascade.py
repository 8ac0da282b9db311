"""Search a gallery with two networks: MobileFaceNet first, and both where it does not decide alone.

MobileFaceNet is faster and decides most faces; together they are more accurate than either. Each path has its own
calibration, so a confidence means the same on both.

MobileFaceNet depends on the landmarks. Where they fit its template badly, as in profiles and covered or cut faces, it
does not decide alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

import numpy as np

from model.calibration import Calibration
from model.embedding import join
from model.searchable import SearchableGallery


@dataclass(frozen=True)
class Found:
    """The k best people for each of N faces, best first.

    ids: int64 [N, k]; confidences: float [N, k]; known: bool [N], the best score reaches the threshold of the chosen
    strictness; alone: bool [N], MobileFaceNet decided alone.
    """

    ids: np.ndarray
    confidences: np.ndarray
    known: np.ndarray
    alone: np.ndarray


@dataclass(frozen=True)
class Cascade:
    """A gallery, and the calibrations of MobileFaceNet's part and of the gallery's whole embedding."""

    gallery: SearchableGallery
    mobile: Calibration
    joined: Calibration

    def search(
        self,
        mobile: np.ndarray,
        reliable: np.ndarray,
        inception: Callable[[np.ndarray], np.ndarray],
        k: int,
        strictness: float,
    ) -> Found:
        """Search N faces.

        mobile: MobileFaceNet's embeddings, float32 [N, 192]; reliable: bool [N], see `is_reliable`; inception: called
        with the rows of the faces that need it, -> InceptionResnetV1's embeddings, float32 [rows, 512]; strictness: in
        percent, see STRICTNESS.
        """
        people = len(self.gallery)
        matches = self.gallery.search(mobile, k)
        if not matches.ids.shape[1]:
            nobody = np.zeros(len(mobile), bool)
            return Found(matches.ids, matches.scores, nobody, ~nobody)
        undecided = ~reliable | self.mobile.undecided(matches.scores[:, 0], people, strictness)
        known = matches.scores[:, 0] >= self.mobile.threshold(people, strictness)
        ids, confidences = matches.ids, self.mobile.confidence(matches.scores, people)
        rows = np.flatnonzero(undecided)
        if len(rows):
            both = self.gallery.search(join(inception(rows), mobile[rows]), k)
            ids[rows], confidences[rows] = both.ids, self.joined.confidence(both.scores, people)
            known[rows] = both.scores[:, 0] >= self.joined.threshold(people, strictness)
        return Found(ids, confidences, known, ~undecided)
