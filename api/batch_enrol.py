"""The task of a batch that enrols people: a folder of the bucket for each person, whose name is the folder's."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Iterable, Iterator, Mapping, Sequence

from api.batch_events import Item
from api.batch_record import Answer
from api.batch_source import Source
from api.batch_task import GAVE_UP, HasTime, Task
from api.dialects import native
from api.dialects.native import Json
from api.photo_keys import is_photo
from api.problems import Problem, describe_error
from api.uploads import MAX_PHOTOS
from service.errors import NothingEnrolled
from service.names import clean
from service.results import DUPLICATE, Enrolment, UploadedPhoto

if TYPE_CHECKING:  # the service imports torch
    from service.people import PeopleService

LISTED = 1000  # objects of a folder, in which its photos are looked for

BAD_NAME = Problem(400, "bad_name", "The name of the folder cannot be a person's name.")
NO_PHOTOS = Problem(422, "no_photos", "The folder has no photo.")


class Enrolling(Task):
    """Enrols people, those of one call in one commit."""

    def __init__(self, source: Source, people: PeopleService, collection: str | None, request_id: str) -> None:
        super().__init__(source, collection, request_id)
        self._people = people

    def answer(self, items: Sequence[Item], has_time: HasTime) -> Iterable[Answer]:
        folders = [_Folder(item.key, self._source) for item in items]
        begun = _Begun(folders, has_time)
        results = self._people.add_many(self._collection, begun)
        return [self._line(folder, results.get(folder.person or "")) for folder in folders[: begun.count]]

    def _line(self, folder: _Folder, found: Enrolment | NothingEnrolled | None) -> Json:
        """Encode what came of a person. found: None for a folder without a person."""
        body = self._body(folder, found)
        body["skipped"] = [folder.unread(photo["file"]) or photo for photo in body["skipped"]]
        source = {"bucket": self._source.name, "folder": folder.key}
        return {**body, "more_photos": folder.has_more, "source": source}

    def _body(self, folder: _Folder, found: Enrolment | NothingEnrolled | None) -> Json:
        if isinstance(found, Enrolment):
            body = {**native.enrolment(found), "added": found.added}
            del body["collection"]  # add_many does not name it
            return body
        skipped = [native.skipped_photo(photo) for photo in found.skipped] if found else []
        if any(photo["reason"] == DUPLICATE for photo in skipped):  # an earlier run has enrolled the person
            return {"name": folder.person, "faces": [], "added": False, "skipped": skipped}
        problem = describe_error(found) if found else folder.problem or NO_PHOTOS
        return {**native.error(problem, self._request_id), "name": folder.person, "skipped": skipped}

    def gave_up(self, item: Item) -> Answer:
        return self._line(_Folder(item.key, self._source, GAVE_UP), None)


class _Folder:
    """A person's folder. person: the name, None if there is a problem; has_more: photos that are not used."""

    def __init__(self, key: str, source: Source, problem: Problem | None = None) -> None:
        self.key, self.problem, self._source = key, problem, source
        self.person: str | None = None
        self._reasons: dict[str, str] = {}  # by file, of photos that could not be read
        self.has_more = False
        self._photos: list[str] = []

    def open(self) -> None:
        """List the photos. Raises StorageError."""
        try:
            name = clean(self.key.rstrip("/").rpartition("/")[2])
        except ValueError:
            self.problem = BAD_NAME
            return
        keys = [found.key for found in islice(self._source.bucket.list(self.key), LISTED + 1)]
        photos = [key for key in keys[:LISTED] if is_photo(key) and "/" not in key[len(self.key) :]]
        self._photos = photos[:MAX_PHOTOS]
        self.has_more = len(photos) > MAX_PHOTOS or len(keys) > LISTED
        if photos:
            self.person = name
        else:
            self.problem = NO_PHOTOS

    def unread(self, file: str) -> Json | None:
        """Encode a photo that could not be read, None if it was read."""
        return {"file": file, "reason": self._reasons[file]} if file in self._reasons else None

    def photos(self) -> Iterator[UploadedPhoto]:
        """Read the photos one at a time. One that cannot be read is empty, which is reported. Raises StorageError."""
        for key in self._photos:
            file, read = key[len(self.key) :], self._source.read(key)
            if isinstance(read, Problem):
                self._reasons[file] = read.code
                yield UploadedPhoto(file, b"")
            else:
                yield UploadedPhoto(file, read.data)


class _Begun(Mapping[str, Iterable[UploadedPhoto]]):
    """People by name, read when they are iterated, as long as there is time. count: folders that were begun.

    A folder with the name of an earlier one ends the iteration: it is left to another commit.
    """

    def __init__(self, folders: Sequence[_Folder], has_time: HasTime) -> None:
        self._folders, self._has_time = folders, has_time
        self._people: dict[str, _Folder] = {}
        self.count = 0

    def __iter__(self) -> Iterator[str]:
        for folder in self._folders:
            if self.count and not self._has_time():
                return
            folder.open()
            if folder.person in self._people:
                return
            self.count += 1
            if folder.person is not None:
                self._people[folder.person] = folder
                yield folder.person

    def __getitem__(self, name: str) -> Iterable[UploadedPhoto]:
        return self._people[name].photos()

    def __len__(self) -> int:
        return len(self._people)
