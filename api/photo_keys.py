"""Which objects of a bucket are photos, told by their keys alone: `make bulk` counts by the rule of the function."""

from __future__ import annotations

from service.system_files import is_system_name

RESULTS, FAILURES, RUNS = "results/", "failures/", "runs/"
OURS = (RESULTS, FAILURES, RUNS)  # what the service itself writes

ENDINGS = frozenset(
    ("jpg", "jpeg", "jpe", "jfif", "jif", "pjpeg", "png", "apng", "webp", "gif", "heic", "heif", "heics", "hif", "avif")
)


def ending(key: str) -> str:
    """Return the ending of a key's last segment in lower case, without the dot; empty if it has none."""
    _, dot, found = key.rpartition("/")[2].rpartition(".")
    return found.lower() if dot else ""


def is_photo(key: str) -> bool:
    """Tell whether an object is read as a photo: its key has the ending of one, or no ending at all.

    Objects that are hidden, or of the system or a program, are not.
    """
    if any(map(is_system_name, key.split("/"))):
        return False
    return not key.endswith("/") and not key.startswith(OURS) and (ending(key) or "jpg") in ENDINGS
