"""Stored crops of a collection as folders of files, one folder per person, to train on without the photos."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from model.gallery import Gallery
from model.records import Person
from storage.engine import Engine
from training.atomic_files import atomic_write
from training.data.align import STORED_CROP
from training.data.folder_names import display_name
from training.errors import TrainingError
from training.publishing.collections import Access, service_errors


def write_stored_crops(access: Access, collection: str, folder: Path) -> Path:
    """Write the crops of a collection below `folder`. -> the folder. Files that are there already stay.

    Raises TrainingError if the collection has none, or does not exist.
    """
    with service_errors():
        opened = access.galleries.open(collection)()
        gallery, collections = opened.snapshot.gallery.loaded(), access.collections
        wanted = _folders(gallery.people, folder)
        for path in folder.iterdir() if folder.is_dir() else ():
            if path not in wanted:
                shutil.rmtree(path)
        count = sum(
            _write(collections, opened.info.collection, gallery, person, path) for path, person in wanted.items()
        )
    if not count:
        raise TrainingError(
            f"The collection {collection} has no crops to train on: they are stored with KEEP_CROPS=on when people are "
            "enrolled."
        )
    return folder


def _write(collections: Engine, collection: str, gallery: Gallery, person: Person, folder: Path) -> int:
    """Write the crops of one person. -> how many there are."""
    files = {f"{face.id}{STORED_CROP}": face.id for face in gallery.faces_of(person.id)}
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in files:
            path.unlink()
    count = 0
    for name, face_id in files.items():
        data = None if (folder / name).exists() else collections.crop(collection, face_id)
        if data is not None:
            folder.mkdir(parents=True, exist_ok=True)
            with atomic_write(folder / name) as partial:
                partial.write_bytes(data)
        count += (folder / name).exists()
    return count


def _folders(people: Sequence[Person], folder: Path) -> dict[Path, Person]:
    """Name a folder below `folder` for each person. People whose folders would have one name get their IDs too."""
    names = [person.name.replace("/", " ").lstrip(".") or str(person.id) for person in people]
    counts = Counter(map(display_name, names))
    return {
        folder / (name if counts[display_name(name)] == 1 else f"{name} ({person.id})"): person
        for name, person in zip(names, people)
    }
