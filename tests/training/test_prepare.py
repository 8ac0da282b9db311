from __future__ import annotations

import io
import json
import os
import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from testing.paths import SAMPLES
from tests.conftest import archive_of
from tests.model.images import FORMATS, encoded
from training.__main__ import main
from training.data.duplicates import find_duplicates, look_alikes
from training.data.people_photos import read_people
from training.data.prepare import CENTRAL, DOMINANT, STRANGER, TRAIN, VAL, examples, prepare
from training.errors import TrainingError
from training.records import Run


def picture(seed: object) -> Image.Image:
    """Return a picture that is not similar to those of other seeds."""
    blocks = np.random.RandomState(zlib.crc32(repr(seed).encode())).randint(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(blocks).resize((120, 120), Image.Resampling.BICUBIC)


def photo(seed: object) -> bytes:
    file = io.BytesIO()
    picture(seed).save(file, "JPEG")
    return file.getvalue()


def write_people(people: dict[str, int], root: Path) -> Path:
    for name, count in people.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            (root / name / f"{i}.jpg").write_bytes(photo((root.name, name, i)))
    return root


def prepared(run: Run, data: Path | None, *people: Path, seed: int = 0) -> dict[str, Any]:
    prepare(run, data, people, min_images=4, val_share=0.3, seed=seed)
    return run.record("prepare")["facts"]


def test_all_served_formats_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever the files' names are. Other files are named."""
    person = tmp_path / "Anna"
    person.mkdir()
    for number, kind in enumerate(FORMATS):
        (person / str(number)).write_bytes(encoded(picture(number), kind))
    (person / "0.heic").write_bytes(encoded(picture(0), "HEIF", quality=90))
    picture(9).save(person / "9.bmp")
    (person / "10.jpg").write_bytes(b"")
    (person / ".DS_Store").write_bytes(b"")
    found = read_people([tmp_path])
    paths = found.people["Anna"]
    assert [path.name for path in paths] == sorted([*map(str, range(len(FORMATS))), "0.heic"])
    assert [Path(photo.file).name for photo in found.skipped] == ["10.jpg", "9.bmp"]
    assert f"{person / '9.bmp'}: left out, not a photo in a supported format" in capsys.readouterr().err
    _, first = find_duplicates(paths)
    (copy,) = (i for i, j in enumerate(first) if i != j)
    assert {paths[copy].name, paths[first[copy]].name} == {"0", "0.heic"}


def test_lfw_counts(lfw_archive: Path, tmp_path: Path) -> None:
    run = Run(tmp_path)
    facts = prepared(run, lfw_archive)
    assert len(facts["people"]) == 610
    assert (facts["images"], facts["train_images"], facts["val_images"]) == (6733, 4946, 1778)
    assert len(facts["duplicates"]) == 9  # checked by eye
    assert (facts["strangers"], facts["stranger_images"]) == (900, 1146)
    names, rows = examples(run)
    assert names == sorted(names)
    for row in rows[:: len(rows) // 50]:
        assert Path(row.path).is_file()
        if row.split != STRANGER:
            assert Path(row.path).parent.name.replace("_", " ") == names[row.person]


def test_split_is_seeded_and_per_person(tmp_path: Path) -> None:
    data = write_people({"a": 4, "b": 10, "c_d": 3}, tmp_path / "data")
    run = Run(tmp_path / "out")
    facts = prepared(run, data)
    names, rows = examples(run)
    assert names == ["a", "b"]
    assert facts["strangers"] == 1
    counts = {(row.person, row.split): 0 for row in rows}
    for row in rows:
        counts[row.person, row.split] += 1
    assert counts == {(0, VAL): 1, (0, TRAIN): 3, (1, VAL): 3, (1, TRAIN): 7, (-1, STRANGER): 3}

    assert prepared(Run(tmp_path / "again"), data)["digest"] == facts["digest"]
    assert prepared(Run(tmp_path / "other"), data, seed=1)["digest"] != facts["digest"]


def test_own_people_are_classes_with_any_number_of_photos(tmp_path: Path) -> None:
    data = write_people({"a": 4, "b": 4, "Jane_Doe": 1}, tmp_path / "data")
    people = write_people({"Jane Doe": 2, "Zoe": 1}, tmp_path / "people")
    run = Run(tmp_path / "out")
    assert prepared(run, data, people)["people"] == ["a", "b", "Jane Doe", "Zoe"]
    assert sum(row.person == 2 for row in examples(run)[1]) == 3


@pytest.mark.parametrize(
    ("people", "sentence"),
    [({}, "does not exist"), ({"a": 0}, "has no photos"), ({"a": 1, "b": 4}, "Only 1 of the people")],
)
def test_too_few_photos(people: dict[str, int], sentence: str, tmp_path: Path) -> None:
    write_people(people, tmp_path / "data")
    with pytest.raises(TrainingError, match=sentence):
        prepared(Run(tmp_path / "out"), tmp_path / "data")


def test_a_person_in_two_sources_is_one_class(tmp_path: Path) -> None:
    data = write_people({"a": 4, "Jane_Doe": 5}, tmp_path / "data")
    here, there = write_people({"Jane Doe": 2}, tmp_path / "here"), write_people({"Jane__Doe": 3}, tmp_path / "there")
    run = Run(tmp_path / "out")
    assert prepared(run, data, here, there)["people"] == ["a", "Jane Doe"]
    assert sum(row.person == 1 for row in examples(run)[1]) == 10


def test_own_people_without_other_data(tmp_path: Path) -> None:
    facts = prepared(Run(tmp_path / "out"), None, write_people({"a": 4, "b": 4}, tmp_path / "people"))
    assert (facts["people"], facts["strangers"], facts["val_images"]) == (["a", "b"], 0, 2)


def test_copies_of_a_photo_are_used_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_people({"a": 6, "b": 4}, tmp_path / "data")
    original = Image.open(SAMPLES / "Kofi_Annan_0006.jpg")
    original.save(data / "a" / "x.png")
    (data / "a" / "y.png").write_bytes((data / "a" / "x.png").read_bytes())
    original.resize((300, 300)).save(data / "a" / "z.jpg", quality=50)
    exif = Image.Exif()
    exif[0x0112] = 6  # displayed after rotating by 90 degrees clockwise
    original.rotate(90).save(data / "a" / "rotated.jpg", exif=exif)
    rotated = np.asarray(ImageOps.exif_transpose(Image.open(data / "a" / "rotated.jpg")))
    assert rotated[5, 5, 0] == pytest.approx(np.asarray(original)[5, 5, 0], abs=12)
    original.convert("L").save(data / "b" / "copied.jpg")
    run = Run(tmp_path / "out")
    facts = prepared(run, data)
    assert facts["images"] == 15
    assert facts["train_images"] + facts["val_images"] == 11
    kept = [Path(row.path) for row in examples(run)[1] if Path(row.path).stem in ("x", "y", "z", "rotated", "copied")]
    assert len(kept) == 1
    assert {skipped for skipped, _ in facts["duplicates"]}.isdisjoint(map(str, kept))
    assert "but named b instead of a" in capsys.readouterr().err


def test_an_archive_is_unpacked_again_if_its_photos_are_gone(tmp_path: Path) -> None:
    archive = archive_of(write_people({"a": 4, "b": 4}, tmp_path / "data"), tmp_path / "data.tgz")
    run = Run(tmp_path / "out")
    before = prepared(run, archive)
    shutil.rmtree(tmp_path / "out" / "photos")
    assert prepared(run, archive) == before
    assert all(Path(row.path).is_file() for row in examples(run)[1])


def test_look_alike_names_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_people({"José Ruiz": 4, "jose_ruiz": 4, "Rose": 4}, tmp_path / "data")
    assert prepared(Run(tmp_path / "out"), data)["look_alikes"] == [["José Ruiz", "jose ruiz"]]
    assert "José Ruiz / jose ruiz: if this is one person" in capsys.readouterr().err
    assert look_alikes(["Anna-Lena", "Annalena", "ANNA LENA", "Anna"]) == [["ANNA LENA", "Anna-Lena", "Annalena"]]
    assert look_alikes(["Ben Ode", "Ode, Ben", "Ben Ode.", "Ode"]) == [["Ben Ode", "Ben Ode.", "Ode, Ben"]]


def test_a_person_with_copies_only_is_no_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people = write_people({"Anna Berg": 3, "Ben Ode": 3, "Cleo Tan": 3}, tmp_path / "people")
    (people / "Berg Anna").mkdir()
    shutil.copy(people / "Anna Berg/1.jpg", people / "Berg Anna/same.jpg")
    run = Run(tmp_path / "out")
    assert prepared(run, None, people)["people"] == ["Anna Berg", "Ben Ode", "Cleo Tan"]
    assert {row.person for row in examples(run)[1]} == {0, 1, 2}
    message = capsys.readouterr().err
    assert "Berg Anna: all photos are copies of photos under other names, so this is no class" in message
    with pytest.raises(TrainingError, match="Only 1 people have photos that are not copies"):
        prepared(Run(tmp_path / "two"), None, copies_of_one(tmp_path / "copies"))


def copies_of_one(root: Path) -> Path:
    write_people({"Anna": 1}, root)
    shutil.copytree(root / "Anna", root / "Ben")
    return root


def test_photos_of_own_people_are_marked(tmp_path: Path) -> None:
    """In them the person is the one with the dominant face, in a data set the one in the middle."""
    data, people = (
        write_people({"a": 4, "b": 4}, tmp_path / "data"),
        write_people({"b": 1, "c": 1}, tmp_path / "people"),
    )
    run = Run(tmp_path / "out")
    prepared(run, data, people)
    assert {(Path(row.path).parts[-3], row.face) for row in examples(run)[1]} == {
        ("data", CENTRAL),
        ("people", DOMINANT),
    }


def test_paths_that_are_not_utf8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people = write_people({"Ben Ode": 2, os.fsdecode(b"Jos\xe9 Ruiz"): 1}, tmp_path / "people")
    (people / "Ben Ode/1.jpg").rename(people / os.fsdecode(b"Ben Ode/ni\xf1o.jpg"))
    run = Run(tmp_path / "out")
    assert prepared(run, None, people)["people"] == ["Ben Ode", "José Ruiz"]
    assert "not UTF-8, read as Windows-1252: José Ruiz" in capsys.readouterr().err
    assert all(Path(row.path).is_file() for row in examples(run)[1])
    assert json.loads((run.out / "prepare.json").read_text(encoding="utf-8"))


def test_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same when nothing has changed. With --strict a file that is skipped is an error."""
    people = write_people({"Anna Berg": 2, "Ben Ode": 2}, tmp_path / "people")
    shutil.copy(people / "Anna Berg/1.jpg", people / "Anna Berg/2.jpg")
    (people / "Ben Ode/@eaDir").mkdir()
    command = ["prepare", "--people", str(people), "--out", str(tmp_path / "out")]
    for _ in range(2):
        assert main(command) == 0
        assert [" ".join(line.split()) for line in capsys.readouterr().err.splitlines()[-4:]] == [
            "people 2",
            "photos used 4",
            f"skipped: a copy of another photo 1 such as {people}/Anna Berg/2.jpg",
            f"ignored: hidden or of the system 1 such as {people}/Ben Ode/@eaDir",
        ]
    assert main([*command, "--strict"]) == 1
    assert f"error: --strict: 1 files were skipped, such as {people}/Anna Berg/2.jpg" in capsys.readouterr().err
    (people / "Anna Berg/2.jpg").unlink()
    assert main([*command, "--strict"]) == 0
