"""Changes of collections as new segments: which are written, which go, and which stay as they are.

Faces are added to the last segment while it is small, so an addition writes little. Segments with something that is
removed are written again without it. Small segments are joined now and then.
"""

from __future__ import annotations

from typing import NamedTuple, Sequence

import numpy as np

from model.contents import Contents, joined
from model.edit import Edit, split
from model.gallery import Gallery
from model.roster import last_rows
from storage.segments import SEGMENT_ROWS, Segment, encode

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


def apply_edit(parts: Sequence[Part], before: Gallery, edit: Edit) -> list[Part]:
    """Return the parts of a collection after a change. before: the gallery of `parts`."""
    kept, added = split(before, edit)
    remaining = [
        part if contents is part.contents else new_part(contents)
        for part, contents in zip(parts, kept)
        if contents.size
    ]
    return _append(remaining, added) if added.size else remaining


def needs_compaction(parts: Sequence[Part]) -> bool:
    """Tell whether there are so many small segments that they should be joined."""
    return sum(part.bytes < TAIL_BYTES for part in parts) > SMALL_SEGMENTS


def compacted(parts: Sequence[Part]) -> list[Part]:
    """Join the small segments and drop the rows of people that a later row replaces."""
    ids = np.concatenate([part.contents.people.id for part in parts])
    is_last = np.zeros(len(ids), bool)
    is_last[last_rows(ids)[1]] = True
    full, small, start = [], [], 0
    for part in parts:
        found = part.contents
        rows = np.flatnonzero(is_last[start : start + len(found.people.id)])
        start += len(found.people.id)
        if found.size >= UNDERFULL:
            full.append(part)
        else:
            small.append(found.take(rows, np.arange(len(found.faces.person))))
    # A row of these is the last one of its person, so these segments may follow all others.
    return [*full, *map(new_part, joined(small).pieces(SEGMENT_ROWS))]


def new_part(contents: Contents) -> Part:
    """Return a part whose segment is not written yet."""
    return Part(contents, None, encode(contents))


def _append(parts: list[Part], added: Contents) -> list[Part]:
    """Add rows to the last part if that stays small, else as new parts."""
    if parts and parts[-1].bytes < TAIL_BYTES:
        nobody = np.zeros(0, np.int64)
        old = parts[-1].contents.without(added.people.id, nobody, frozenset())
        grown = new_part(joined([old, added]))
        if grown.bytes <= TAIL_BYTES:
            return [*parts[:-1], grown]
    return [*parts, *map(new_part, added.pieces(SEGMENT_ROWS))]
