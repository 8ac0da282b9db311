from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.conftest import SAMPLES, training
from training.prepare import STRANGER, TRAIN, VAL, photos, prepare
from training.steps import Run, TrainingError

PHOTO = (SAMPLES / "Kofi_Annan_0006.jpg").read_bytes()


def folder_of(people: dict[str, int], root: Path) -> Path:
    for name, count in people.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            (root / name / f"{i}.jpg").write_bytes(PHOTO + bytes([i]))
    return root


def prepared(run: Run, data: Path, people: Path | None = None, seed: int = 0) -> dict[str, object]:
    prepare(run, data, people, min_images=4, val_share=0.3, seed=seed)
    return run.record("prepare")["facts"]


def test_lfw_counts(lfw_archive: Path, tmp_path: Path) -> None:
    run = Run(tmp_path)
    facts = prepared(run, lfw_archive)
    assert len(facts["people"]) == 610
    assert (facts["images"], facts["train_images"], facts["val_images"]) == (6733, 4952, 1781)
    assert (facts["strangers"], facts["stranger_images"]) == (900, 1146)
    names, rows = photos(run)
    assert names == sorted(names)
    for row in rows[:: len(rows) // 50]:
        assert Path(row.path).is_file()
        if row.split != STRANGER:
            assert Path(row.path).parent.name.replace("_", " ") == names[row.person]


def test_split_is_seeded_and_per_person(tmp_path: Path) -> None:
    data = folder_of({"a": 4, "b": 10, "c_d": 3}, tmp_path / "data")
    run = Run(tmp_path / "out")
    facts = prepared(run, data)
    names, rows = photos(run)
    assert names == ["a", "b"]
    assert facts["strangers"] == 1
    counts = {(row.person, row.split): 0 for row in rows}
    for row in rows:
        counts[row.person, row.split] += 1
    assert counts == {(0, VAL): 1, (0, TRAIN): 3, (1, VAL): 3, (1, TRAIN): 7, (-1, STRANGER): 3}

    assert prepared(Run(tmp_path / "again"), data)["photos"] == facts["photos"]
    assert prepared(Run(tmp_path / "other"), data, seed=1)["photos"] != facts["photos"]


def test_own_people_are_classes_whatever_their_number(tmp_path: Path) -> None:
    data = folder_of({"a": 4, "b": 4, "Jane_Doe": 1}, tmp_path / "data")
    people = folder_of({"Jane Doe": 2, "Zoe": 1}, tmp_path / "people")
    run = Run(tmp_path / "out")
    assert prepared(run, data, people)["people"] == ["a", "b", "Jane Doe", "Zoe"]
    assert sum(row.person == 2 for row in photos(run)[1]) == 3


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
def test_archives_unpack_inside_their_folder(suffix: str, tmp_path: Path) -> None:
    entries = {f"lfw/{name}/{i}.jpg": PHOTO for name in "ab" for i in range(4)}
    entries["../../outside/evil/x.jpg"] = entries["/tmp/evil/y.jpg"] = entries["lfw/../z.jpg"] = PHOTO
    entries["lfw/a/readme.txt"] = b"no photo"
    run = Run(tmp_path / "out")
    facts = prepared(run, archive(tmp_path / f"photos{suffix}", entries))
    assert (facts["people"], facts["images"]) == (["a", "b"], 8)
    assert {path.name for path in tmp_path.iterdir()} == {"out", f"photos{suffix}"}
    assert sorted(p.name for p in (tmp_path / "out" / "photos").iterdir()) == ["a", "b", "evil"]


def test_broken_archives(lfw_archive: Path, tmp_path: Path) -> None:
    cut, text = tmp_path / "cut.tgz", tmp_path / "text.tgz"
    cut.write_bytes(lfw_archive.read_bytes()[:1_000_000])
    text.write_text("<html>Not found</html>")
    for data in (cut, text):
        done = training("prepare", "--data", data, "--out", tmp_path / "out")
        assert done.returncode == 1
        assert "is broken or not a tar or zip archive" in done.stderr
        assert "Traceback" not in done.stderr
        assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("people", "sentence"),
    [({}, "does not exist"), ({"a": 0}, "has no photos"), ({"a": 1, "b": 4}, "Only 1 of the people")],
)
def test_too_little_to_learn_from(people: dict[str, int], sentence: str, tmp_path: Path) -> None:
    folder_of(people, tmp_path / "data")
    with pytest.raises(TrainingError, match=sentence):
        prepared(Run(tmp_path / "out"), tmp_path / "data")
