"""Find photos that occur twice and people under two names. Both would make the measured accuracy too high."""

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
from training.errors import log

HASH_SIDE = 16  # a perceptual hash has HASH_SIDE ** 2 bits
# On LFW, scaling a photo to 0.4-2 times its size or saving it at JPEG quality 40-90 changes at most 8 bits. All pairs
# within 40 bits are copies; the first pair of different people is within 50 bits.
SAME_PHOTO_BITS = 32
TILE = 2048  # photos on either side of one comparison


def find_duplicates(paths: Sequence[Path]) -> tuple[list[str], list[int]]:
    """Return for each file 16 hex digits of its SHA-256, and the index of the first file with the same photo.

    Two files hold the same photo if their bytes are equal or their perceptual hashes (Zauner, "Implementation and
    Benchmarking of Perceptual Image Hash Functions", 2010) differ in at most SAME_PHOTO_BITS bits. Files that are not
    images are compared by their bytes only. Raises OSError.
    """
    digests: list[str] = []
    hashes = np.zeros((len(paths), HASH_SIDE**2), np.int8)
    for i, path in enumerate(tqdm(paths, desc="compare", unit=" photos")):
        digest, hashes[i] = _hashes(path)
        digests.append(digest)
    return digests, _first_copies(digests, hashes)


def _hashes(path: Path) -> tuple[str, np.ndarray]:
    """Return the digest of the bytes and the perceptual hash, int8 [bits] of -1 and 1, or zeros if it is no image."""
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()[:16]
    try:
        bits = imagehash.phash(decode(data).preview(), hash_size=HASH_SIDE).hash.ravel()
    except RecognitionError:
        return digest, np.zeros(HASH_SIDE**2, np.int8)
    return digest, np.where(bits, 1, -1).astype(np.int8)


def _first_copies(digests: list[str], hashes: np.ndarray) -> list[int]:
    """Return for each file the index of the first copy of its photo, its own if it is the first."""
    by_digest: dict[str, int] = {}
    first = [by_digest.setdefault(digest, i) for i, digest in enumerate(digests)]
    images = np.array([i for i, j in enumerate(first) if i == j and hashes[i].any()], np.int64)
    for i, j in _similar_pairs(hashes[images]):
        first[images[j]] = min(first[images[j]], int(images[i]))
    # Follow chains of copies to their start.
    for i, j in enumerate(first):
        first[i] = first[j]
    return first


def _similar_pairs(hashes: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield the pairs i < j of hashes, int8 [N, bits] of -1 and 1, that differ in at most SAME_PHOTO_BITS bits.

    Compares all pairs by matrix products, which takes a minute for 100,000 photos.
    """
    for i in range(0, len(hashes), TILE):
        rows = hashes[i : i + TILE].astype(np.float32)
        for j in range(i, len(hashes), TILE):
            products = rows @ hashes[j : j + TILE].astype(np.float32).T  # equal bits minus different bits
            for a, b in np.argwhere(products >= HASH_SIDE**2 - 2 * SAME_PHOTO_BITS):
                if i + a < j + b:
                    yield int(i + a), int(j + b)


def look_alikes(names: Iterable[str]) -> list[list[str]]:
    """Return the groups of names that may be one person's, each group sorted.

    They differ only in case, accents, spaces and punctuation, or have the family name first: "Ode, Ben".
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        family, comma, given = name.partition(",")
        letters = unicodedata.normalize("NFKD", f"{given} {family}" if comma else name).casefold()
        key = "".join(c for c in letters if c.isalnum())
        groups.setdefault(key, []).append(name)
    return [sorted(group) for group in groups.values() if len(group) > 1]


def log_look_alikes(groups: Iterable[Sequence[str]]) -> None:
    """Ask the user about the groups of `look_alikes`."""
    for group in groups:
        log(f"{' / '.join(group)}: if this is one person, give the folders the same name")
