"""ExternalImageIds that faces of people show who were not indexed with one."""

from __future__ import annotations

import numpy as np
import pytest

from model.embedding import GENERIC
from model.gallery import Gallery
from model.records import EnrolledFace, Person
from service.external_ids import LabelledPeople, label_of, label_of_face
from service.names import EXTERNAL_ID
from tests.versions import SPECS, cohort

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
    assert label_of(person) == label and EXTERNAL_ID.fullmatch(label)
    assert label_of_face(FACE, person) == label
    assert label_of_face(FACE._replace(external_id="own"), person) == "own"


def test_faces_without_a_label() -> None:
    assert label_of_face(FACE, Person(3, FACE.id)) is None
    assert label_of_face(FACE, Person(3, FACE.id, "staff-1")) == "staff-1"
    user = Person(3, "Ada", None, "ada")
    assert label_of_face(FACE, user) is None


def test_people_by_label() -> None:
    """A label that only resembles a name is another person's."""
    people = [
        *(Person(0, "José"), Person(1, "Ada", "staff-1"), Person(2, "staff-1"), Person(3, "Kofi"), Person(4, "Kofi")),
        *(Person(5, "u1", None, "u1"), Person(6, "face-0")),
    ]
    spec = SPECS[GENERIC]
    faces = [FACE._replace(id="face-0", person=6)]
    found = Gallery.of(spec, cohort(GENERIC), people, faces, np.zeros((1, spec.size)))
    labelled = LabelledPeople(found)
    assert [labelled.find_or_make(label).id for label in ("staff-1", "Kofi")] == [1, 3]
    new = [labelled.find_or_make(label) for label in ("Jose", "Ada", "u1", "face-0", "Jose")]
    assert [person.id for person in new] == [7, 8, 9, 10, 7]
    assert labelled.make_unnamed("f") == Person(11, "f")
    assert labelled.new == [*new[:4], Person(11, "f")]
