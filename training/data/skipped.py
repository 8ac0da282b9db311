"""Files that a command did not use, with the reason of each, and the table at the end of every command."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.results import DUPLICATE, NO_FACE, SEVERAL_FACES, TOO_SMALL, UNREADABLE, Skipped
from training.errors import TrainingError, log

NOT_A_PHOTO, LOOSE, SPECIAL, DENIED, TOO_DEEP = "not_a_photo", "loose", "special", "denied", "too_deep"
DEAD_LINK, LINK_TWICE, LINK_AROUND = "dead_link", "link_twice", "link_around"
OUTSIDE, ARCHIVED_LINK, COPY, UNKNOWN_PERSON = "outside", "archived_link", "copy", "unknown_person"
REASONS = {
    DUPLICATE: "enrolled already",
    NO_FACE: "no face found",
    SEVERAL_FACES: "several faces, none at least twice as large as the next one",
    TOO_SMALL: "the face is too small",
    UNREADABLE: "cannot be read",
    NOT_A_PHOTO: "not a photo in a supported format",
    LOOSE: "not in a person's folder: put it into a folder with the person's name",
    SPECIAL: "not a file",
    DENIED: "cannot be opened",
    TOO_DEEP: "too many folders within folders",
    DEAD_LINK: "the link leads nowhere",
    LINK_TWICE: "the link leads to photos that are read already",
    LINK_AROUND: "the link leads to a folder around the one that is read",
    OUTSIDE: "the path leads out of the archive",
    ARCHIVED_LINK: "the link leads to a file that the archive lacks",
    COPY: "a copy of another photo",
    UNKNOWN_PERSON: "the person is not in the model",
}
# A command that is run again skips these. They are no loss.
DONE_BEFORE = (DUPLICATE,)


def printable(path: Path | str) -> str:
    """Return a path as text for people. Bytes that are not UTF-8 become \\xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


@dataclass(frozen=True)
class Summary:
    """Result of reading folders. people, photos: how many were used; ignored: hidden and system files and folders."""

    people: int
    photos: int
    skipped: Sequence[Skipped]
    ignored: Sequence[str] = ()

    def table(self) -> str:
        """Format the numbers, and the first file of each kind, without a newline at the end."""
        rows = [("people", self.people, ""), ("photos used", self.photos, "")]
        by_reason: dict[str, list[Skipped]] = {}
        for skipped in self.skipped:
            by_reason.setdefault(skipped.reason, []).append(skipped)
        for reason, files in by_reason.items():
            rows.append((f"skipped: {REASONS.get(reason, reason)}", len(files), files[0].file))
        if self.ignored:
            rows.append(("ignored: hidden or of the system", len(self.ignored), self.ignored[0]))
        width = max(len(label) for label, _, _ in rows)
        return "\n".join(
            f"{label:<{width}}  {count:>7,}" + (first and f"  such as {first}") for label, count, first in rows
        )

    def finish(self, strict: bool) -> None:
        """Print the table. strict: raise TrainingError if any file was skipped, unless it was enrolled before."""
        log(self.table())
        lost = [skipped for skipped in self.skipped if skipped.reason not in DONE_BEFORE]
        if strict and lost:
            raise TrainingError(f"--strict: {len(lost)} files were skipped, such as {lost[0].file}.")


def log_each(skipped: Iterable[Skipped]) -> None:
    """Print a line for each file."""
    for file in skipped:
        log(describe(file))


def describe(skipped: Skipped) -> str:
    """Say which file was left out, and why."""
    reason = REASONS.get(skipped.reason, skipped.reason)
    return f"{skipped.file}: left out, {reason}" + (skipped.detail and f". {skipped.detail}")
