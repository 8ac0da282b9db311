"""The use cases of one deployment, together."""

from __future__ import annotations

from typing import NamedTuple

from service.faces import FaceService
from service.galleries import Galleries
from service.people import PeopleService


class Services(NamedTuple):
    """faces: recognition; people: enrolling and managing people; galleries: the collections."""

    faces: FaceService
    people: PeopleService
    galleries: Galleries
