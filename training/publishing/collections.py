"""Access to collections for commands: the service's own use cases on a folder or an S3 prefix."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from model.detection.detector import Detector
from model.errors import FormatError
from service.errors import ServiceError
from service.galleries import Galleries
from service.people import PeopleService
from settings import keep_crops_from_env, s3_settings_from_env
from storage.addresses import check_address, is_database
from storage.background import at_once
from storage.blobs import open_blobs
from storage.engine import Engine
from storage.errors import StorageError
from storage.live import LiveModel
from storage.live_collections import LiveCollections
from storage.networks import Snapshot
from training.errors import TrainingError
from training.store import load_model


class Access:
    """The collections at one place. collections: as they are stored; galleries, people: use cases of the service."""

    def __init__(self, galleries: str, model: str, collection: str | None = None) -> None:
        """galleries: folder, s3://bucket/prefix or postgresql://host/database; model: of the networks, where
        `latest.json` is; collection: name of the default collection, None for the service's own.

        Raises TrainingError if the model cannot be loaded, or KEEP_CROPS is neither on nor off.
        """
        settings = s3_settings_from_env()
        # A command waits for what it reads, however long that takes.
        self.collections: Engine
        if is_database(galleries):
            # Imported here because training elsewhere, as in Colab, needs no driver.
            from storage.postgres.collections import PostgresCollections
            from storage.postgres.database import Database

            self.collections = PostgresCollections(Database(galleries, seconds=None), at_once, first=math.inf)
        else:
            try:
                check_address(galleries, "--galleries")
            except ValueError as error:
                raise TrainingError(str(error)) from error
            self.collections = LiveCollections(lambda: open_blobs(galleries, settings), at_once, first=math.inf)
        self.galleries = Galleries(_LoadedModel(model), self.collections, collection or "")
        try:
            self.people = PeopleService(self.galleries, Detector(), keep_crops_from_env())
        except ValueError as error:
            raise TrainingError(str(error)) from error


class _LoadedModel(LiveModel):
    """The current version at a place, loaded once, so that its errors are the operator's."""

    def __init__(self, uri: str) -> None:
        """Raises TrainingError."""
        self._snapshot = load_model(uri)

    def get(self) -> Snapshot:
        return self._snapshot

    def version(self) -> str:
        return self._snapshot.version


@contextmanager
def service_errors() -> Iterator[None]:
    """Convert errors of the service and the storage. Raises TrainingError."""
    try:
        yield
    except (ServiceError, StorageError, FormatError) as error:
        # The storage's own sentence names the place.
        cause = error.__cause__ if isinstance(error.__cause__, StorageError) else error
        raise TrainingError(str(cause)) from error
