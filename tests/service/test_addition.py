"""A change that adds faces: the result of each attempt to commit it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from model.face import Box, Face
from model.records import Person
from service.addition import Addition
from service.enrolment import PreparedFace
from storage.folder import FolderBlobs
from storage.networks import load_current
from tests import versions as tiny


def test_new_faces_have_other_ids_at_each_attempt(tmp_path: Path) -> None:
    """A deletion may still remove the crops of an attempt that failed."""
    tiny.write(tmp_path)
    snapshot = load_current(FolderBlobs(tmp_path))
    face = Face(Box(10, 10, 90, 90), 0.99, np.zeros((5, 2)))
    crops = (np.zeros((size, size, 3), np.uint8) for size in (160, 112))
    prepared = PreparedFace("ada.jpg", "digest", (100, 100), face, *crops)
    addition = Addition(snapshot, lambda gallery: Person(gallery.next_id, "Ada"), [prepared], keep_crops=True)
    attempts = []
    for _ in range(2):
        edit, enrolment = addition(snapshot.gallery)
        assert edit
        assert edit.faces == enrolment.person.faces
        assert set(edit.crops) == {each.id for each in edit.faces}
        attempts.append(edit)
    assert len(attempts[0].crops) == 1
    assert not set(attempts[0].crops) & set(attempts[1].crops)
