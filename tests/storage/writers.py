"""Writers to a store as processes of their own: `python -m tests.storage.writers ACTION URI ENDPOINT`."""

from __future__ import annotations

import itertools
import sys

from storage.blobs import BlobStore, open_blobs
from storage.errors import BlobConflict, BlobNotFound
from storage.s3_settings import S3Settings

KEY = "a/counter"
INCREMENTS = 3
CONTENTS = tuple(bytes([value]) * 3_000_000 for value in b"ab")


def increment(store: BlobStore) -> None:
    """Add 1 to a number, INCREMENTS times, with as many attempts as that takes."""
    done = 0
    while done < INCREMENTS:
        try:
            found = store.get(KEY)
        except BlobNotFound:
            found = None
        try:
            if found:
                store.put(KEY, b"%d" % (int(found.data) + 1), if_match=found.etag)
            else:
                store.put(KEY, b"1", if_absent=True)
            done += 1
        except BlobConflict:
            pass


def overwrite(store: BlobStore) -> None:
    """Write one and the other for ever."""
    for content in itertools.cycle(CONTENTS):
        store.put(KEY, content)
        sys.stdout.write("written\n")
        sys.stdout.flush()


if __name__ == "__main__":
    action, uri, endpoint = sys.argv[1:]
    with open_blobs(uri, S3Settings("us-east-1", "test", "test", endpoint=endpoint)) as opened:
        {"increment": increment, "overwrite": overwrite}[action](opened)
