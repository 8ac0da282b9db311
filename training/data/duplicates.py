"""The same photo twice, and the same person under two names: what would make a report better than the model is."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import imagehash
import numpy as np
from tqdm import tqdm

from model.errors import RecognitionError
from model.photo import decode

HASH_SIDE = 16  # a perceptual hash has HASH_SIDE ** 2 bits
# On LFW a photo scaled to 0.4-2 times its size or saved again at JPEG quality 40-90 is at most 8 bits away from itself;
# 40 bits hold nothing but double photos, 50 the first two different people.
SAME_PHOTO_BITS = 32
TILE = 2048  # photos on either side of one comparison


def find_duplicates(paths: Sequence[Path]) -> tuple[list[str], list[int]]:
    """For each photo 16 hex digits of its bytes, and the index of the first photo that shows the same, often itself.

    The same is: the same bytes, or a perceptual hash (Zauner, "Implementation and Benchmarking of Perceptual Image
    Hash Functions", 2010) at most SAME_PHOTO_BITS away. Files that are no images have their bytes alone.
    """
    digests: list[str] = []
    hashes = np.zeros((len(paths), HASH_SIDE**2), np.int8)
    for i, path in enumerate(tqdm(paths, desc="compare", unit=" photos")):
        digest, hashes[i] = _hashes(path)
        digests.append(digest)
    return digests, _first_alike(digests, hashes)


def _hashes(path: Path) -> tuple[str, np.ndarray]:
    """Digest of the bytes, and the perceptual hash, int8 [bits] of -1 and 1, or zeros where there is no image."""
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()[:16]
    try:
        bits = imagehash.phash(decode(data).preview(), hash_size=HASH_SIDE).hash.ravel()
    except RecognitionError:
        return digest, np.zeros(HASH_SIDE**2, np.int8)
    return digest, np.where(bits, 1, -1).astype(np.int8)


def _first_alike(digests: list[str], hashes: np.ndarray) -> list[int]:
    first: dict[str, int] = {}
    same = [first.setdefault(digest, i) for i, digest in enumerate(digests)]
    kept = np.array([i for i, j in enumerate(same) if i == j and hashes[i].any()], np.int64)
    for i, j in _near(hashes[kept]):
        same[kept[j]] = min(same[kept[j]], int(kept[i]))
    # A chain of copies ends at its first.
    for i, j in enumerate(same):
        same[i] = same[j]
    return same


def _near(hashes: np.ndarray) -> Iterator[tuple[int, int]]:
    """Pairs i < j of hashes, int8 [N, bits] of -1 and 1, that differ in at most SAME_PHOTO_BITS bits.

    All are compared with all, as products of matrices: 100,000 photos take a minute.
    """
    for i in range(0, len(hashes), TILE):
        rows = hashes[i : i + TILE].astype(np.float32)
        for j in range(i, len(hashes), TILE):
            agreeing = rows @ hashes[j : j + TILE].astype(np.float32).T
            for a, b in np.argwhere(agreeing >= HASH_SIDE**2 - 2 * SAME_PHOTO_BITS):
                if i + a < j + b:
                    yield int(i + a), int(j + b)


def look_alikes(names: Iterable[str]) -> list[list[str]]:
    """Groups of different names that only case, accents, spaces or punctuation tell apart."""
    groups: dict[str, list[str]] = {}
    for name in names:
        letters = unicodedata.normalize("NFKD", name).casefold()
        key = "".join(c for c in letters if c.isalnum())
        groups.setdefault(key, []).append(name)
    return [sorted(group) for group in groups.values() if len(group) > 1]
