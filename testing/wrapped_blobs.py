"""A store whose operations are recorded, and fail or are interrupted where a test wants it."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Iterator, NamedTuple, TypeVar

from storage.blobs import Blob, BlobInfo, BlobStore, Progress

Result = TypeVar("Result")


class Operation(NamedTuple):
    """name: of the method; bytes: that were written."""

    name: str
    key: str
    bytes: int = 0


class WrappedBlobs(BlobStore):
    """before, after: called with each operation, before and after it is carried out; they may raise."""

    def __init__(
        self,
        blobs: BlobStore,
        before: Callable[[Operation], object] = lambda _: None,
        after: Callable[[Operation], object] = lambda _: None,
    ) -> None:
        self.uri, self._blobs = blobs.uri, blobs
        self.before, self.after = before, after
        self.operations: list[Operation] = []

    def get(self, key: str, limit: int | None = None, deadline: float | None = None) -> Blob:
        return self._around(Operation("get", key), lambda: self._blobs.get(key, limit, deadline))

    def get_if_changed(
        self, key: str, etag: str, limit: int | None = None, deadline: float | None = None
    ) -> Blob | None:
        return self._around(Operation("get", key), lambda: self._blobs.get_if_changed(key, etag, limit, deadline))

    def put(self, key: str, data: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        put = Operation("put", key, len(data))
        return self._around(put, lambda: self._blobs.put(key, data, if_match=if_match, if_absent=if_absent))

    def put_file(self, key: str, path: Path, progress: Progress = lambda _: None) -> None:
        self._blobs.put_file(key, path, progress)

    def delete(self, key: str) -> None:
        self._around(Operation("delete", key), lambda: self._blobs.delete(key))

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        return iter(self._around(Operation("list", prefix), lambda: list(self._blobs.list(prefix))))

    def _around(self, operation: Operation, work: Callable[[], Result]) -> Result:
        self.before(operation)
        result = work()
        self.operations.append(operation)
        self.after(operation)
        return result
