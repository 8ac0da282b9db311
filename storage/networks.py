"""Published versions: `latest.json` beside `<version>/`, in a folder or below an S3 prefix.

    latest.json                             the pointer: which version is served
    <version>/model.pt                      the networks
    <version>/galleries/<collection>/       the people it was published with, read-only (storage/galleries.py)
    <version>/version.json                  the version's own pointer, written last

Versions never change once they are complete, and the pointer is written last. So a reader sees the old version or the
new one, never half of one.
"""

from __future__ import annotations

import builtins
import hashlib
import json
import re
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from model.calibration import DEFAULT_STRICTNESS
from model.cascade import Cascade, Found
from model.cohort import NO_COHORT, Cohort
from model.embedding import GENERIC, MOBILE, EmbeddingSpec, join
from model.errors import EmbeddingMismatch
from model.gallery import Gallery
from model.networks import EmbeddingNetwork, NetworkConfig, read_config
from model.searchable import SearchableGallery
from storage.blobs import BlobStore
from storage.cache import CachedStore, Item
from storage.collection_names import is_collection_name
from storage.errors import CorruptData
from storage.fields import describe, pick
from storage.galleries import Manifest, read_gallery, read_manifest

BUNDLED = str(Path(__file__).resolve().parent.parent / "model" / "bundled")
POINTER, OWN_POINTER = "latest.json", "version.json"
FILE = "model.pt"
POINTER_BYTES = 1 << 16  # at most; it has about 400
VERSION = re.compile(r"[0-9]{8}-[0-9a-f]{8}")  # day, and the start of a checksum


@dataclass(frozen=True)
class Pointer:
    """The content of latest.json.

    file: key of the network; sha256, bytes: of it; created: ISO 8601, UTC; collection: the people it was published
    with; manifest_sha256: of that collection's manifest.
    """

    version: str
    file: str
    sha256: str
    bytes: int
    created: str
    collection: str
    manifest_sha256: str

    @classmethod
    def parse(cls, text: builtins.bytes | str, name: str = POINTER) -> Pointer:
        """Fields that it does not know are ignored. name: of the file, for messages. Raises CorruptData."""
        try:
            content = json.loads(text)
            if isinstance(content, dict) and "file" in content and "collection" not in content:
                raise CorruptData(
                    f"{name} names a model of an earlier release, which held network and people in one file: export it "
                    "again with `python -m training export`.",
                    "the published model is of an earlier release: export it again",
                )
            pointer = cls(**pick(cls, content))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise _broken(name, f"it cannot be read: {describe(error)}") from error
        # Version and collection become parts of keys, so nothing else may stand in them.
        if not (VERSION.fullmatch(pointer.version) and is_collection_name(pointer.collection)):
            raise _broken(name, "version or collection have an unknown form")
        if pointer.file != f"{pointer.version}/{FILE}":
            raise _broken(name, "it names another file than its version's")
        return pointer

    @classmethod
    def to(cls, sha256: str, bytes: int, collection: str, manifest_sha256: str, created: datetime) -> Pointer:
        """Point to a network and its collection. The version is named after the day and both checksums."""
        version = f"{created:%Y%m%d}-{_digest(sha256, manifest_sha256)}"
        file = f"{version}/{FILE}"
        return cls(version, file, sha256, bytes, created.isoformat(timespec="seconds"), collection, manifest_sha256)

    @property
    def gallery(self) -> str:
        """Prefix of the collection's keys."""
        return f"{self.version}/galleries/{self.collection}/"

    @property
    def network(self) -> Item:
        return Item(self.file, self.sha256, self.bytes)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"


def _digest(*parts: str) -> str:
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:8]


def _broken(name: str, why: str) -> CorruptData:
    return CorruptData(f"{name} is not a pointer to a model: {why}.", f"{name} is not a pointer to a model")


class Snapshot(NamedTuple):
    """A version that is loaded. path: of the network's file; digests: SHA-256 of the objects it consists of."""

    pointer: Pointer
    path: Path
    network: EmbeddingNetwork
    gallery: SearchableGallery
    digests: frozenset[str]

    @property
    def version(self) -> str:
        return self.pointer.version

    def cohort(self, spec: EmbeddingSpec) -> Cohort:
        """Return the cohort for a collection with this embedding. Raises EmbeddingMismatch."""
        check_embedding(self.network.config, spec)
        return self.network.cohort(spec.name)

    @property
    def cascade(self) -> Cascade:
        """Search of the gallery with both networks."""
        calibrations = self.network.config.calibrations
        return Cascade(self.gallery, calibrations[MOBILE], calibrations[self.gallery.spec.name])

    def search(
        self,
        crops: np.ndarray,
        landmark_crops: np.ndarray,
        reliable: np.ndarray,
        k: int,
        strictness: float = DEFAULT_STRICTNESS,
    ) -> Found:
        """Search N faces whose crops are cut already, as the service does. See `Cascade.search` and `embed`."""

        def inception(rows: np.ndarray) -> np.ndarray:
            return self.network.inception(crops[rows], self.gallery.spec.name)

        return self.cascade.search(self.network.mobile(landmark_crops), reliable, inception, k, strictness)

    def emptied(self, embedding: str = GENERIC) -> Snapshot:
        """Return the same networks with an empty collection of that embedding."""
        spec = self.network.config.specs[embedding]
        nobody = np.zeros((0, spec.size), np.float32)
        return self._replace(gallery=Gallery.of(spec, self.network.cohort(embedding), [], [], nobody))

    def embed(self, crops: np.ndarray, landmark_crops: np.ndarray) -> np.ndarray:
        """Both crops of N faces -> the embedding that the gallery holds, float32 [N, size].

        crops: uint8 [N, size, size, 3] RGB; landmark_crops: uint8 [N, 112, 112, 3] RGB.
        """
        return join(self.network.inception(crops, self.gallery.spec.name), self.network.mobile(landmark_crops))

    def embed_to_enrol(self, crops: np.ndarray, landmark_crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Both crops of N faces -> their embeddings, see `embed`, and those that a gallery keeps of them.

        The latter are means with the mirrored face: they identify a little more people, and cost no time when serving.
        """
        both = (np.concatenate([found, found[:, :, ::-1]]) for found in (crops, landmark_crops))
        embeddings, mirrored = np.split(self.embed(*both), 2)
        return embeddings, (embeddings + mirrored) / 2


def read_pointer(store: CachedStore) -> Pointer:
    """Read which version is the current one. Raises StorageError."""
    return Pointer.parse(store.read(POINTER, POINTER_BYTES))


def load_version(store: CachedStore, pointer: Pointer) -> Snapshot:
    """Fetch, verify and load a version. Raises StorageError, FormatError."""
    path = store.fetch(pointer.network)
    network = EmbeddingNetwork(path)
    manifest = _read_manifest(store, pointer, network.config)
    gallery = read_gallery(store, pointer.gallery, manifest, network.cohort(manifest.embedding.name))
    digests = {pointer.sha256, pointer.manifest_sha256, *(segment.sha256 for segment in manifest.segments)}
    return Snapshot(pointer, path, network, gallery, frozenset(digests))


def check_version(store: CachedStore, pointer: Pointer) -> None:
    """Fetch and verify all that is served of a version, as `load_version` does but without running the network.

    So this works with every version of torch. Raises StorageError, FormatError.
    """
    manifest = _read_manifest(store, pointer, read_config(store.fetch(pointer.network)))
    read_gallery(store, pointer.gallery, manifest, NO_COHORT)


def _read_manifest(store: CachedStore, pointer: Pointer, config: NetworkConfig) -> Manifest:
    """Read the manifest of the version's collection.

    The configuration is read before it, because a manifest of another release may have other fields. Raises
    StorageError; EmbeddingMismatch where the collection holds other embeddings than the network's.
    """
    manifest = read_manifest(store, pointer.gallery, pointer.manifest_sha256)
    check_embedding(config, manifest.embedding)
    return manifest


def check_embedding(config: NetworkConfig, spec: EmbeddingSpec) -> None:
    """Check that a collection holds embeddings of these networks. Raises EmbeddingMismatch."""
    if config.specs.get(spec.name) != spec:
        raise EmbeddingMismatch(
            f"The collection holds embeddings `{spec.name}` of another network ({spec.digest}): they cannot be "
            "compared with this one's."
        )


def load_current(blobs: BlobStore) -> Snapshot:
    """Load the current version of a store. Raises StorageError, FormatError."""
    store = CachedStore(blobs)
    return load_version(store, read_pointer(store))
