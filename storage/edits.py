"""Changes of collections as new segments: which are written, which go, and which stay as they are.

Faces are added to the last segment while it is small, so an addition writes little. Segments with something that is
removed are written again without it. Small segments are joined now and then.
"""

from __future__ import annotations

from typing import NamedTuple, Sequence

from model.gallery import Edit, Gallery
from storage.segments import Contents, Segment, encode, joined

TAIL_BYTES = 45_000  # of the last segment, to which rows are added: with a stored crop less than 64 KB for a face
SMALL_SEGMENTS = 32  # of less than TAIL_BYTES, above which small segments are joined
UNDERFULL = 2048  # people and faces, below which a segment is joined with others


class Part(NamedTuple):
    """A segment and its content. data: its bytes if it is not written yet, segment: None then."""

    contents: Contents
    segment: Segment | None
    data: bytes = b""

    @property
    def bytes(self) -> int:
        return self.segment.bytes if self.segment else len(self.data)


def apply_edit(parts: Sequence[Part], before: Gallery, after: Gallery, edit: Edit) -> list[Part]:
    """Return the parts of a collection after a change. before, after: the gallery of `parts`, and that after it."""
    replaced = edit.removed_people | {person.id for person in edit.people if person.id in before.by_id}
    added = _added(before, after, edit)
    remaining = list(parts)
    if replaced or edit.removed_faces:
        kept = (_without(part, replaced, edit) for part in parts)
        remaining = [part for part in kept if part.contents.people or part.contents.faces]
    if added.people or added.faces:
        remaining = _append(remaining, added, after.spec.size)
    return remaining


def needs_compaction(parts: Sequence[Part]) -> bool:
    """Tell whether there are so many small segments that they should be joined."""
    return sum(part.bytes < TAIL_BYTES for part in parts) > SMALL_SEGMENTS


def compacted(parts: Sequence[Part], size: int) -> list[Part]:
    """Join the small segments and drop the rows of people that a later row replaces. size: numbers in an embedding."""
    last = {person.id: i for i, part in enumerate(parts) for person in part.contents.people}
    full, small = [], []
    for i, part in enumerate(parts):
        found = part.contents
        if max(len(found.people), len(found.faces)) >= UNDERFULL:
            full.append(part)
            continue
        own = {person.id: row for row, person in enumerate(found.people) if last[person.id] == i}
        small.append(found.rows(list(own.values()), range(len(found.faces))))
    # A row of these is the last one of its person, so these segments may follow all others.
    return [*full, *map(_new, joined(small, size).pieces())]


def _without(part: Part, replaced: frozenset[int], edit: Edit) -> Part:
    """Remove rows of people and faces from a part. replaced: people whose rows go."""
    found = part.contents
    people = [row for row, person in enumerate(found.people) if person.id not in replaced]
    faces = [row for row, face in enumerate(found.faces) if not edit.removes(face)]
    if len(people) == len(found.people) and len(faces) == len(found.faces):
        return part
    return _new(found.rows(people, faces))


def _added(before: Gallery, after: Gallery, edit: Edit) -> Contents:
    """Return the rows to write: new faces, new people, and people whose nearness changes with their faces."""
    ids = sorted({person.id for person in edit.people} | edit.touched(before) & set(after.by_id))
    row_of = {person.id: row for row, person in enumerate(after.people)}
    rows = [row_of[key] for key in ids]
    start = len(after.faces) - len(edit.faces)
    return Contents(
        [after.people[row] for row in rows], after.faces[start:], after.embeddings[start:], after.nearness[rows]
    )


def _append(parts: list[Part], added: Contents, size: int) -> list[Part]:
    """Add rows to the last part if that stays small, else as new parts."""
    if parts and parts[-1].bytes < TAIL_BYTES:
        tail = parts[-1].contents
        new = {person.id for person in added.people}
        old = tail.rows([row for row, person in enumerate(tail.people) if person.id not in new], range(len(tail.faces)))
        grown = _new(joined([old, added], size))
        if grown.bytes <= TAIL_BYTES:
            return [*parts[:-1], grown]
    return [*parts, *map(_new, added.pieces())]


def _new(contents: Contents) -> Part:
    return Part(contents, None, encode(contents))
