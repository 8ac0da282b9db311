from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageOps

from model.photo import SUFFIXES
from testing.paths import SAMPLES
from training.data.duplicates import find_duplicates, look_alikes
from training.data.prepare import STRANGER, TRAIN, VAL, examples, prepare
from training.data.sources import people_folders, unpack
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
    pillow_heif.register_heif_opener()
    person = tmp_path / "Anna"
    person.mkdir()
    for number, suffix in enumerate(SUFFIXES):
        picture(number).save(person / f"{number}{suffix.upper()}")
    picture(0).save(person / "0.heic", quality=90)
    picture(9).save(person / "9.bmp")
    (person / ".DS_Store").write_bytes(b"")
    paths = people_folders(tmp_path)["Anna"]
    assert {path.suffix.lower() for path in paths} == set(SUFFIXES)
    assert f"supported format: 1, such as {person / '9.bmp'}" in capsys.readouterr().err
    _, first = find_duplicates(paths)
    (copy,) = (i for i, j in enumerate(first) if i != j)
    assert {paths[copy].name, paths[first[copy]].name} == {"0.JPG", "0.heic"}


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


def archive(path: Path, entries: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as pack:
            for name, content in entries.items():
                pack.writestr(name, content)
    else:
        with tarfile.open(path, "w:gz") as pack:
            for name, content in entries.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                pack.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("suffix", [".zip", ".tgz"])
def test_archives_unpack_inside_the_output_folder(suffix: str, tmp_path: Path) -> None:
    entries = {f"lfw/{name}/{i}.jpg": photo((name, i)) for name in "ab" for i in range(4)}
    entries["../../outside/evil/x.jpg"] = entries["/tmp/evil/y.jpg"] = entries["lfw/../z.jpg"] = photo("x")
    entries["lfw/a/readme.txt"] = b"no photo"
    run = Run(tmp_path / "out")
    facts = prepared(run, archive(tmp_path / f"photos{suffix}", entries))
    assert (facts["people"], facts["images"]) == (["a", "b"], 8)
    assert {path.name for path in tmp_path.iterdir()} == {"out", f"photos{suffix}"}
    assert sorted(p.name for p in (tmp_path / "out" / "photos" / "lfw").iterdir()) == ["a", "b"]


def test_folders_with_the_same_name_in_an_archive_are_merged(tmp_path: Path) -> None:
    entries = {f"{day}/Jane_Doe/1.jpg": photo(day) for day in ("monday", "tuesday")}
    unpack(archive(tmp_path / "photos.zip", entries), tmp_path / "out")
    assert {name: len(paths) for name, paths in people_folders(tmp_path / "out").items()} == {"Jane Doe": 2}


@pytest.mark.parametrize("suffix", [".zip", ".tgz"])
@pytest.mark.parametrize(("size", "fits"), [(40_000, True), (40_001, False)])
def test_archive_bombs_are_rejected(suffix: str, size: int, fits: bool, tmp_path: Path) -> None:
    path = tmp_path / f"bomb{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as pack:
            pack.writestr("a/1.jpg", bytes(size))
    else:
        archive(path, {"a/1.jpg": bytes(size)})
    if fits:
        unpack(path, tmp_path / "out", max_growth=1, slack=40_000)
        return
    with pytest.raises(TrainingError, match="more than 1 times its size"):
        unpack(path, tmp_path / "out", max_growth=1, slack=40_000)
    assert list(tmp_path.iterdir()) == [path]


def test_damaged_archives(lfw_archive: Path, tmp_path: Path) -> None:
    cut, text = tmp_path / "cut.tgz", tmp_path / "text.tgz"
    cut.write_bytes(lfw_archive.read_bytes()[:1_000_000])
    text.write_text("<html>Not found</html>")
    for data in (cut, text):
        with pytest.raises(TrainingError, match="is damaged or not a tar or zip archive"):
            prepared(Run(tmp_path / "out"), data)
        assert not list((tmp_path / "out").iterdir())


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


def test_look_alike_names_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_people({"José Ruiz": 4, "jose_ruiz": 4, "Rose": 4}, tmp_path / "data")
    assert prepared(Run(tmp_path / "out"), data)["look_alikes"] == [["José Ruiz", "jose ruiz"]]
    assert "José Ruiz / jose ruiz: if this is one person" in capsys.readouterr().err
    assert look_alikes(["Anna-Lena", "Annalena", "ANNA LENA", "Anna"]) == [["ANNA LENA", "Anna-Lena", "Annalena"]]
