"""Archives as people really have them: every way in which one can fail gets a sentence."""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Iterator, Mapping

import pytest

from testing.paths import SAMPLES
from training.__main__ import main
from training.data.archives import unpack
from training.data.people_photos import read_people
from training.data.skipped import ARCHIVED_LINK, DENIED, NOT_A_PHOTO, OUTSIDE, SPECIAL
from training.errors import TrainingError

PHOTO = (SAMPLES / "astronaut.jpg").read_bytes()


class RawName(zipfile.ZipInfo):
    """An entry whose name is written in an encoding, without the flag for UTF-8."""

    __slots__ = ("encoding",)
    encoding: str

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802
        return self.filename.encode(self.encoding), 0


def archive(path: Path, entries: Mapping[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as pack:
            for name, content in entries.items():
                pack.writestr(name, content)
    else:
        with tarfile.open(path, "w:gz") as tar:
            for name, content in entries.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


def encoded(path: Path, encoding: str, *names: str) -> Path:
    """Write an archive with names in an encoding."""
    with zipfile.ZipFile(path, "w") as pack:
        for name in names:
            info = RawName(name)
            info.encoding = encoding
            pack.writestr(info, PHOTO)
    return path


def people(archive: Path, encoding: str | None = None) -> dict[str, int]:
    """Unpack an archive. -> number of photos by person."""
    unpacked = unpack(archive, archive.parent / "out", encoding)
    found = read_people([unpacked.folder], data_set=True)
    return {name: len(paths) for name, paths in found.people.items()}


@pytest.mark.parametrize("suffix", [".zip", ".tgz"])
def test_only_photos_inside_the_archive_are_unpacked(suffix: str, tmp_path: Path) -> None:
    entries = {
        "lfw/a/1.jpg": PHOTO,
        "lfw/b/no suffix": PHOTO,
        "../../outside/evil/x.jpg": PHOTO,
        "/tmp/evil/y.jpg": PHOTO,
        "lfw/../z.jpg": PHOTO,
        "C:/evil/x.jpg": PHOTO,
        "C:\\evil\\y.jpg": PHOTO,
        "lfw/a/readme.jpg": b"no photo",
        "__MACOSX/lfw/a/._1.jpg": b"no photo",
        "lfw/a/@eaDir/1.jpg/thumb.jpg": PHOTO,
        f"lfw/a/{'x' * 300}.jpg": PHOTO,
        "lfw/a/1.jpg/2.jpg": PHOTO,
    }
    unpacked = unpack(archive(tmp_path / f"photos{suffix}", entries), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").rglob("*") if path.is_file()) == ["1.jpg", "no suffix"]
    assert {path.name for path in tmp_path.iterdir()} == {"out", f"photos{suffix}"}
    reasons = [photo.reason for photo in unpacked.skipped]
    assert sorted(reasons) == sorted([*[OUTSIDE] * 5, NOT_A_PHOTO, *[DENIED] * 2])
    assert len(unpacked.ignored) == 2


def test_people_of_an_archive_that_holds_one_folder(tmp_path: Path) -> None:
    entries = {f"Team 2024: Oslo/{name}/{i}.jpg": PHOTO for name in ("Zoë Ång", "Ben Ode") for i in range(2)}
    assert people(archive(tmp_path / "photos.zip", entries)) == {"Ben Ode": 2, "Zoë Ång": 2}


@pytest.mark.parametrize("suffix", [".zip", ".tgz"])
@pytest.mark.parametrize(("size", "fits"), [(40_000, True), (40_001, False)])
def test_archive_bombs_are_rejected(suffix: str, size: int, fits: bool, tmp_path: Path) -> None:
    path, photo = tmp_path / f"bomb{suffix}", b"\xff\xd8\xff" + bytes(size - 3)
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as pack:
            pack.writestr("a/1.jpg", photo)
    else:
        archive(path, {"a/1.jpg": photo})
    if fits:
        unpack(path, tmp_path / "out", max_growth=1, slack=40_000)
        return
    with pytest.raises(TrainingError, match="more than 1 times its size"):
        unpack(path, tmp_path / "out", max_growth=1, slack=40_000)
    assert list(tmp_path.iterdir()) == [path]


def test_names_of_the_finder(tmp_path: Path) -> None:
    """It writes UTF-8 without the flag for it."""
    path = encoded(tmp_path / "photos.zip", "utf-8", "José Ruiz/1.jpg", "Zoë Ångström/1.jpg")
    assert set(people(path)) == {"José Ruiz", "Zoë Ångström"}


@pytest.mark.parametrize("encoding", ["cp437", "cp850", "cp1252"])
def test_names_in_an_encoding_of_windows(encoding: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = encoded(tmp_path / "photos.zip", encoding, "José Ruiz/1.jpg", "Zoë/1.jpg")
    command = ["prepare", "--data", str(path), "--min-images", "1", "--out", str(tmp_path / "run")]
    assert main(command) == 1
    message = capsys.readouterr().err
    assert f"{path} are not in UTF-8. Choose their encoding by the name that is right, with --zip-encoding: " in message
    assert f"{encoding} for José Ruiz/1.jpg" in message
    assert set(people(path, encoding)) == {"José Ruiz", "Zoë"}


def test_japanese_names(tmp_path: Path) -> None:
    path = encoded(tmp_path / "photos.zip", "shift_jis", "山田太郎/1.jpg", "佐藤花子/1.jpg")
    with pytest.raises(TrainingError, match="shift_jis for 山田太郎"):
        people(path)
    assert set(people(path, "shift_jis")) == {"山田太郎", "佐藤花子"}
    with pytest.raises(TrainingError, match=r"are not in ascii\. Choose"):
        people(path, "ascii")


def test_an_encoding_that_nobody_knows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["prepare", "--data", "x.zip", "--zip-encoding", "cp9", "--out", str(tmp_path)])
    assert "cp9 is not an encoding that Python knows" in capsys.readouterr().err


def test_only_names_of_people_need_an_encoding(tmp_path: Path) -> None:
    path = encoded(tmp_path / "photos.zip", "cp850", "Ben Ode/niño.jpg", "Ada/1.jpg")
    assert people(path) == {"Ben Ode": 1, "Ada": 1}


def test_the_extra_field_for_names_in_utf8(tmp_path: Path) -> None:
    """Info-ZIP and WinRAR write it beside a name in the encoding of the system."""
    raw, name = "José/1.jpg".encode("cp850"), "José/1.jpg".encode()
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as pack:
        info = RawName("José/1.jpg")
        info.encoding = "cp850"
        content = b"\x01" + zlib.crc32(raw).to_bytes(4, "little") + name
        info.extra = b"\x55\x54\x01\x00\x00" + b"\x75\x70" + len(content).to_bytes(2, "little") + content
        pack.writestr(info, PHOTO)
        pack.writestr("Ben/1.jpg", PHOTO)
    assert set(people(tmp_path / "photos.zip")) == {"José", "Ben"}


def test_names_of_a_tar_archive_that_are_not_utf8(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "photos.tar", "w", encoding="cp1252", format=tarfile.GNU_FORMAT) as tar:
        for name in ("José/1.jpg", "Ben/niño.jpg"):
            info = tarfile.TarInfo(name)
            info.size = len(PHOTO)
            tar.addfile(info, io.BytesIO(PHOTO))
    with pytest.raises(TrainingError, match="cp1252 for José"):
        people(tmp_path / "photos.tar")
    assert people(tmp_path / "photos.tar", "cp1252") == {"José": 1, "Ben": 1}


def test_links_in_a_tar_archive(tmp_path: Path) -> None:
    """They stand for the files to which they lead."""
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        info = tarfile.TarInfo("Ben/1.jpg")
        info.size = len(PHOTO)
        tar.addfile(info, io.BytesIO(PHOTO))
        for name, kind, target in (
            ("Ada/hard.jpg", tarfile.LNKTYPE, "Ben/1.jpg"),
            ("Ada/soft.jpg", tarfile.SYMTYPE, "../Ben/1.jpg"),
            ("Ada/dead.jpg", tarfile.SYMTYPE, "/etc/passwd"),
            ("Ada/self.jpg", tarfile.SYMTYPE, "self.jpg"),
            ("Ada/pipe.jpg", tarfile.FIFOTYPE, ""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            tar.addfile(info)
    unpacked = unpack(tmp_path / "photos.tar", tmp_path / "out")
    assert [photo.reason for photo in unpacked.skipped] == [ARCHIVED_LINK, ARCHIVED_LINK, SPECIAL]
    assert {path.name: path.read_bytes() == PHOTO for path in (tmp_path / "out/Ada").iterdir()} == {
        "hard.jpg": True,
        "soft.jpg": True,
    }


def damaged(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield archives that cannot be read, and what the message says."""
    whole = archive(folder / "whole.zip", {"Ada/1.jpg": PHOTO, "Ben/1.jpg": PHOTO}).read_bytes()
    packed = archive(folder / "whole.tgz", {"Ada/1.jpg": PHOTO, "Ben/1.jpg": PHOTO}).read_bytes()
    central, local = whole.index(b"PK\x01\x02"), whole.index(b"PK\x03\x04")
    flagged = whole[: central + 8] + b"\x01" + whole[central + 9 :]
    yield write(folder / "encrypted.zip", flagged), "is encrypted: unpack it with another program, and give the folder"
    for method, name in ((9, "Deflate64"), (98, "PPMd"), (93, "Zstandard"), (77, "method 77")):
        compressed = whole[: central + 10] + bytes([method]) + whole[central + 11 :]
        yield write(folder / f"{method}.zip", compressed), f"is compressed by {name}, which is not read here"
    yield write(folder / "crc.zip", whole[: local + 100] + b"xxx" + whole[local + 103 :]), "is damaged"
    deflated = whole[: central + 10] + b"\x08" + whole[central + 11 :]
    yield write(folder / "deflated.zip", deflated), "is damaged"
    yield write(folder / "cut.zip", whole[: len(whole) // 2]), "is damaged"
    yield write(folder / "cut.tgz", packed[: len(packed) // 2]), "is damaged"
    yield write(folder / "changed.tgz", packed[:500] + b"xxxx" + packed[504:]), "is damaged"
    yield write(folder / "page.tgz", b"<html>Not found</html>"), "is damaged or not a tar or zip archive"
    yield write(folder / "empty.zip", b""), "is damaged or not a tar or zip archive"
    yield write(folder / "photos.7z", b"7z\xbc\xaf'\x1c" + bytes(100)), "is a 7z archive, which is not read here"
    yield write(folder / "photos.rar", b"Rar!\x1a\x07\x01\x00" + bytes(100)), "is a RAR archive, which is not read here"
    yield write(folder / "photo.jpg", PHOTO), "is damaged or not a tar or zip archive"


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_archives_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path, sentence in damaged(tmp_path):
        assert main(["prepare", "--data", str(path), "--out", str(tmp_path / "run")]) == 1
        message = capsys.readouterr().err
        assert f"error: {path} {sentence}" in message
        assert "Traceback" not in message
        assert not list((tmp_path / "run").iterdir())


def test_a_damaged_data_set(lfw_archive: Path, tmp_path: Path) -> None:
    cut = write(tmp_path / "cut.tgz", lfw_archive.read_bytes()[:1_000_000])
    with pytest.raises(TrainingError, match="is damaged or not a tar or zip archive"):
        unpack(cut, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [cut]
