"""ExternalImageIds that faces of people show who were not indexed with one."""

from __future__ import annotations

import pytest

from model.gallery import EnrolledFace, Person
from service.external_ids import PATTERN, find_labelled, label_of, label_of_face

FACE = EnrolledFace("f", 3, ("1",), "")


@pytest.mark.parametrize(
    ("name", "external_id", "label"),
    [
        ("Ada Lovelace", None, "Ada_Lovelace"),
        ("Zoë d'Été", None, "Zoe_d_Ete"),
        ("Ada", "staff-1815:a.b_c", "staff-1815:a.b_c"),
        ("Ada", "staff 1815", "Ada"),
        ("王小明", None, "person:3"),
        ("王2", None, "_2"),
        ("ﷺ" * 200, None, "person:3"),
        ("e" + "\u0301" * 200, None, "e"),
        ("½" * 255, None, ("1_2" * 255)[:255]),
    ],
)
def test_label(name: str, external_id: str | None, label: str) -> None:
    person = Person(3, name, external_id)
    assert label_of(person) == label and PATTERN.fullmatch(label)
    assert label_of_face(FACE, person) == label
    assert label_of_face(FACE._replace(external_id="own"), person) == "own"
    assert find_labelled((person,), label) is person


def test_faces_without_a_label() -> None:
    assert label_of_face(FACE, Person(3, FACE.id)) is None
    assert label_of_face(FACE, Person(3, FACE.id, "staff-1")) == "staff-1"
    user = Person(3, "Ada", None, "ada")
    assert label_of_face(FACE, user) is None
    assert find_labelled((user,), "Ada") is None
