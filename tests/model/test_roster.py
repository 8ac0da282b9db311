"""Looking up people and faces that are spread over several parts."""

from __future__ import annotations

import numpy as np
import pytest

from model.contents import Contents
from model.records import EnrolledFace, Person
from model.roster import Roster

ADA = Person(1, "Ada", "a-1")
OLD, ZOE = Person(4, "Zoé"), Person(4, "ZOË", None, "user-4")  # renamed, and a user since then
KOFI, OTHER = Person(7, "Kofi", "k"), Person(9, "ada", "a-1")
FIRST = EnrolledFace("f1", 1, ("p1",), "2026-01-01", (1.5, 2, 3, 4), 0.75, (640, 480))
MEAN = EnrolledFace("f2", 4, ("p2", "p3"), "2026-01-02")
LATER = EnrolledFace("f3", 1, ("p3",), "2026-01-03T00:00:00+00:00", origin=4)
LABELLED = EnrolledFace("f4", 9, (), "2026-01-04", external_id="label", origin="k")


def part(people: list[Person], faces: list[EnrolledFace]) -> Contents:
    return Contents.of(people, faces, np.zeros((len(faces), 3)), np.zeros((len(people), 2), np.float32))


@pytest.fixture()
def roster() -> Roster:
    return Roster([part([ADA, OLD], [FIRST, MEAN]), part([KOFI, ZOE], []), part([OTHER], [LATER, LABELLED])])


def test_everything(roster: Roster) -> None:
    assert roster.people == (ADA, ZOE, KOFI, OTHER) and roster.faces == (FIRST, MEAN, LATER, LABELLED)
    assert (roster.people_count, roster.face_count, len(roster)) == (4, 4, 3)  # Kofi has no face
    assert roster.ids.tolist() == [1, 4, 7, 9] and roster.face_counts.tolist() == [2, 1, 0, 1]


def test_people_are_found(roster: Roster) -> None:
    assert [roster.person(key) for key in (0, 1, 4, 9, 10)] == [None, ADA, ZOE, OTHER, None]
    assert roster.named("Ada") == (ADA,) and roster.named("Zoé") == ()
    assert roster.named_alike("ADA") == (ADA, OTHER) and roster.named_alike("zoë") == (ZOE,)
    assert roster.with_external_id("a-1") == (ADA, OTHER) and roster.with_external_id("a") == ()
    assert roster.user("user-4") == ZOE and roster.user("user") is None and roster.users() == (ZOE,)
    assert roster.people_after(-1, 2) == ((ADA, 2), (ZOE, 1)) and roster.people_after(4, 9) == ((KOFI, 0), (OTHER, 1))
    assert roster.people_after(9, 9) == ()
    assert roster.found(np.array([9, 1])) == (OTHER, ADA)


def test_faces_are_found(roster: Roster) -> None:
    assert roster.faces_of(1) == (FIRST, LATER) and roster.faces_of(7) == roster.faces_of(5) == ()
    assert [roster.find_face(key) for key in ("f1", "f4", "f", "f11")] == [0, 3, None, None]
    assert roster.face_rows(["f4", "f2"]) == [3, 1]
    with pytest.raises(KeyError):
        roster.face_rows(["f1", "f5"])
    assert roster.photo_faces("p3") == [1, 2] and roster.photo_faces("p") == []
    assert roster.has_photo("p2") and not roster.has_photo("p")
    assert roster.has_owners()
    assert not Roster([part([ADA], [MEAN])]).has_owners()


def test_nobody() -> None:
    for empty in (Roster([]), Roster([part([], [])])):
        assert (empty.people, empty.faces, len(empty), empty.users()) == ((), (), 0, ())
        assert empty.person(0) is None and empty.find_face("f") is None and empty.people_after(-1, 5) == ()
