"""Writers that meet, are interrupted or run out of space: nothing is lost, and the next run goes on."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from PIL import Image

from service.results import DUPLICATE
from storage.errors import StorageFull
from storage.folder import FolderBlobs
from storage.networks import FILE, OWN_POINTER, POINTER, Pointer
from testing.paths import ROOT, SAMPLES
from tests import versions as tiny
from tests.faulty import Fault, Proxy, refuses, running
from tests.interrupted import FORK, exit_code, exit_codes, run_until
from training.__main__ import main
from training.data.folder_names import display_name
from training.errors import TrainingError
from training.publishing.collections import Access
from training.publishing.enrol import BATCH, Report, enrol
from training.publishing.publish import publish
from training.publishing.versions import rollback, versions, write_version
from training.store import latest, load_model

WRITING = r"Another process is writing a version to .*m at the moment: run this again when it is done\."
OVERTAKEN = r"Another process has written latest\.json in .* meanwhile, and its version is served: run this again\."


@pytest.fixture()
def models(tmp_path: Path) -> Path:
    """A folder with one version."""
    tiny.write(tmp_path / "m")
    return tmp_path / "m"


def current(models: Path | str) -> Pointer:
    """The current version, all of which is verified and loaded."""
    return load_model(str(models)).pointer


def folders(models: Path) -> set[str]:
    return {path.name for path in models.iterdir() if path.is_dir()}


def write(models: Path, seed: int, etag: str | None, meanwhile: Callable[[], object] = lambda: None) -> Pointer:
    """Write a version in place of the pointer with that ETag."""

    def write_network(path: Path) -> None:
        path.write_bytes(tiny.network())
        meanwhile()

    return write_version(models, write_network, tiny.gallery(seed=seed), tiny.COLLECTION, etag)


def etag_of(models: Path) -> str | None:
    return latest(FolderBlobs(models))[1]


# Two at once in a folder


def test_only_one_process_writes_a_version(models: Path) -> None:
    etag, refusals = etag_of(models), []

    def second() -> None:
        with pytest.raises(TrainingError, match=WRITING) as caught:
            write(models, 2, etag)
        refusals.append(caught)

    pointer = write(models, 1, etag, second)
    assert len(refusals) == 1
    assert current(models) == pointer
    write(models, 2, etag_of(models))


def test_the_second_of_two_that_read_the_same_pointer_is_told(models: Path) -> None:
    etag = etag_of(models)
    pointer = write(models, 1, etag)
    before = folders(models)
    with pytest.raises(TrainingError, match=OVERTAKEN):
        write(models, 2, etag)
    assert current(models) == pointer
    assert folders(models) == before


@pytest.mark.parametrize("there", [True, False])
def test_a_version_that_is_published_or_rolled_back_meanwhile_wins(tmp_path: Path, there: bool) -> None:
    models = tmp_path / "m"
    other = tiny.write(models if there else tmp_path / "n", tiny.gallery(seed=3))
    if there:
        tiny.write(models)

    def meanwhile() -> None:
        if there:
            rollback(str(models), other.version)
        else:
            publish(tmp_path / "n", str(models))

    with pytest.raises(TrainingError, match=OVERTAKEN):
        write(models, 1, etag_of(models), meanwhile)
    assert current(models) == other
    for one in versions(str(models)):  # the loser's is complete, too
        rollback(str(models), one.pointer.version)
        assert current(models) == one.pointer


@pytest.mark.parametrize("empty", [True, False])
def test_of_several_processes_exactly_one_wins(tmp_path: Path, empty: bool) -> None:
    models = tmp_path / "m"
    if not empty:
        tiny.write(models)
    barrier = FORK.Barrier(4)

    def writer(seed: int) -> Callable[[], None]:
        def work() -> None:
            etag = etag_of(models)
            barrier.wait(60)
            try:
                write(models, seed, etag)
            except TrainingError:
                sys.exit(3)

        return work

    codes = exit_codes(*(writer(seed) for seed in range(1, 5)))
    assert sorted(codes) == [0, 3, 3, 3]
    pointer = current(models)
    assert folders(models) == {one.pointer.version for one in versions(str(models))}
    assert write(models, 1 + codes.index(0), etag_of(models)) == pointer


# Two at once in S3


@pytest.fixture()
def proxy(uri: str, s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The way to S3."""
    with running(Proxy(s3_environment["AWS_ENDPOINT_URL"])) as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL", found.url)
        yield found


def publisher(models: Path, uri: str) -> Callable[[], None]:
    return lambda: sys.exit(main(["publish", "--model", str(models), "--to", uri]))


def together(asked: list[Any]) -> Fault:
    """Answer the first request only when there is a second one. asked: gets an entry for each request."""
    barrier = threading.Barrier(2)

    def fault(handler: Any, answer: Any) -> None:
        asked.append(answer)
        if len(asked) <= 2:
            barrier.wait(60)
        handler.send(answer)

    return fault


@pytest.mark.parametrize("empty", [True, False])
def test_of_two_publishers_one_wins(
    proxy: Proxy, uri: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], empty: bool
) -> None:
    if not empty:
        tiny.write(tmp_path / "old")
        publish(tmp_path / "old", uri)
    pointers = [tiny.write(tmp_path / str(seed), tiny.gallery(seed=seed)) for seed in (1, 2)]
    proxy.faults[POINTER] = together([])
    capfd.readouterr()
    codes = exit_codes(*(publisher(tmp_path / str(seed), uri) for seed in (1, 2)))
    assert sorted(codes) == [0, 1]
    assert f"error: Another process has written latest.json in {uri} meanwhile" in capfd.readouterr().err
    del proxy.faults[POINTER]
    assert current(uri) == pointers[codes.index(0)]
    assert main(["publish", "--model", str(tmp_path / str(1 + codes.index(1))), "--to", uri]) == 0
    assert current(uri) == pointers[codes.index(1)]


def test_two_publishers_of_the_same_version_agree(proxy: Proxy, uri: str, models: Path) -> None:
    asked: list[Any] = []
    proxy.faults[POINTER] = together(asked)
    assert exit_codes(*[publisher(models, uri)] * 2) == [0, 0]
    assert len(asked) > 2  # the second has looked who was first
    assert current(uri) == tiny.current(models)


def test_a_rollback_that_is_overtaken(proxy: Proxy, uri: str, models: Path) -> None:
    old = tiny.current(models)
    publish(models, uri)
    tiny.write(models, tiny.gallery(seed=1))
    publish(models, uri)
    newest = tiny.write(models, tiny.gallery(seed=2))

    def overtake(handler: Any, answer: Any) -> None:
        del proxy.faults[POINTER]
        publish(models, uri)
        handler.send(answer)

    proxy.faults[POINTER] = overtake
    with pytest.raises(TrainingError, match=OVERTAKEN):
        rollback(uri, old.version)
    assert current(uri) == newest


# Interrupted or killed

SIGNALS = {signal.SIGINT: 130, signal.SIGKILL: -signal.SIGKILL}  # exit codes


@pytest.mark.parametrize(
    "before",
    [
        r"\.safetensors$",
        r"manifest\.json$",
        r"version\.json$",
        r"/\d{8}-[0-9a-f]{8}$",  # of the complete version
        r"latest\.json$",
    ],
)
@pytest.mark.parametrize("signum", SIGNALS)
def test_a_writer_that_is_stopped(models: Path, signum: signal.Signals, before: str) -> None:
    old = current(models)

    def work() -> None:
        tiny.write(models, tiny.gallery(seed=1))

    assert run_until(work, signum, before) == SIGNALS[signum]
    assert current(models) == old
    assert len(versions(str(models))) == 1 + ("latest" in before)
    if signum == signal.SIGINT:
        assert folders(models) == {one.pointer.version for one in versions(str(models))}
    work()
    new = current(models)
    assert new != old
    assert folders(models) == {old.version, new.version}
    assert len(versions(str(models))) == 2


def test_ctrl_c_while_the_network_is_written(models: Path) -> None:
    old = current(models)

    def meanwhile() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(models, 1, etag_of(models), meanwhile)
    assert current(models) == old
    assert folders(models) == {old.version}
    write(models, 1, etag_of(models))


AFTER = (".safetensors", "manifest.json", FILE, OWN_POINTER, POINTER)


@pytest.mark.parametrize("after", AFTER)
@pytest.mark.parametrize("signum", SIGNALS)
def test_a_publisher_that_is_stopped(proxy: Proxy, uri: str, models: Path, signum: signal.Signals, after: str) -> None:
    old = current(models)
    publish(models, uri)
    new = tiny.write(models, tiny.gallery(seed=1))
    process = FORK.Process(target=publisher(models, uri))

    def stop(handler: Any, answer: Any) -> None:
        """The object is written, and the publisher does not live to see it."""
        assert process.pid
        os.kill(process.pid, signum)
        handler.send(answer)

    proxy.write_faults[after] = stop
    process.start()
    assert exit_code(process) == SIGNALS[signum]
    proxy.write_faults.clear()
    assert current(uri) == (new if after == POINTER else old)
    assert len(versions(uri)) == (2 if after in (OWN_POINTER, POINTER) else 1)
    publish(models, uri)
    assert current(uri) == new
    assert len(versions(uri)) == 2


# A full disk


@contextmanager
def small_disk(limit: int) -> Iterator[None]:
    """No file may grow beyond so many bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("names", [["Somebody"] * 300, []])
def test_no_room_for_the_gallery(models: Path, names: list[str]) -> None:
    """Neither for a segment nor, where there is nobody, for the manifest."""
    old, etag = current(models), etag_of(models)
    people = tiny.gallery(names)

    def attempt(limit: int) -> Pointer:
        def write_network(path: Path) -> None:
            path.write_bytes(tiny.network())
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

        return write_version(models, write_network, people, tiny.COLLECTION, etag)

    with small_disk(1_000_000), pytest.raises(StorageFull, match=r"takes no more: File too large\."):
        attempt(100)
    assert current(models) == old
    assert folders(models) == {old.version}
    with small_disk(1_000_000):
        assert attempt(1_000_000) == current(models)


def test_no_room_where_a_version_is_published(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "n").mkdir()
    with small_disk(2000):
        assert main(["publish", "--model", str(models), "--to", str(tmp_path / "n")]) == 1
    assert f"error: The folder {tmp_path / 'n'} takes no more: File too large." in capsys.readouterr().err
    assert not (tmp_path / "n" / POINTER).exists()
    assert main(["publish", "--model", str(models), "--to", str(tmp_path / "n")]) == 0
    assert current(tmp_path / "n") == current(models)


UNUSABLE = [
    ("/proc/models", "No such file or directory"),
    ("/dev/null", "File exists"),
    ("/dev/null/models", "Not a directory"),
]


@pytest.mark.parametrize(("place", "reason"), UNUSABLE)
def test_a_folder_that_cannot_be_written_to(place: str, reason: str) -> None:
    with pytest.raises(OSError, match=f"{reason}.*{place}"):
        write(Path(place), 1, None)


# Enrolling into a collection

ENROL = """
import sys
from tests.interrupted import signal_before_rename
from training.__main__ import main
signal_before_rename(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
sys.exit(main(sys.argv[4:]))
"""


def enrol_command(photos: Path, galleries: str, networks: Path) -> list[str]:
    return ["enrol", "--people", str(photos), "--galleries", galleries, "--model", str(networks)]


def people(galleries: str, networks: Path) -> dict[str, int]:
    """Number of faces by name."""
    gallery = Access(galleries, str(networks)).galleries.open("people")().snapshot.gallery.loaded()
    return dict(zip((person.name for person in gallery.people), gallery.face_counts.tolist()))


@pytest.mark.parametrize(("before", "times"), [(r"\.safetensors$", 2), (r"manifest\.json$", 3)])
@pytest.mark.parametrize("signum", SIGNALS)
def test_enrol_is_stopped_in_its_second_batch(
    networks: Path, photos: Path, tmp_path: Path, signum: signal.Signals, before: str, times: int
) -> None:
    """The first commit makes the collection, and each batch is another one."""
    for i in range(BATCH):
        Image.new("RGB", (8, 8)).save(photos / "Kofi_Annan" / f"blank {i}.png")
    galleries = str(tmp_path / "galleries")
    command = enrol_command(photos, galleries, networks)
    stopped = [sys.executable, "-c", ENROL, str(int(signum)), before, str(times), *command]
    run = subprocess.run(stopped, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == SIGNALS[signum], run.stderr
    if signum == signal.SIGINT:
        assert "interrupted. Finished work is kept; the next run continues from there." in run.stderr
    assert "Traceback" not in run.stderr
    assert people(galleries, networks) == {"Kofi Annan": 1}
    assert main(command) == 0
    assert people(galleries, networks) == {"Kofi Annan": 1, "Tony Blair": 1}


@pytest.mark.parametrize("where", ["folder", "s3"])
def test_two_enrol_at_once(
    where: str, networks: Path, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a commit for each person, one of whom both enrol."""
    monkeypatch.setattr("training.publishing.enrol.BATCH", 1)
    galleries = request.getfixturevalue("uri") if where == "s3" else str(tmp_path / "galleries")
    samples = sorted(SAMPLES.glob("*.jpg"))
    both = samples[:4], samples[3:]
    for number, paths in enumerate(both):
        for path in paths:
            folder = tmp_path / str(number) / path.stem
            folder.mkdir(parents=True)
            shutil.copy(path, folder)
    barrier = threading.Barrier(len(both))

    def work(number: int) -> Report:
        access = Access(galleries, str(networks))
        barrier.wait(60)
        return enrol([tmp_path / str(number)], access)

    with ThreadPoolExecutor(len(both)) as pool:
        reports = list(pool.map(work, range(len(both))))
    assert people(galleries, networks) == {display_name(path.stem): 1 for path in samples}
    assert sum(len(report.added) for report in reports) == len(samples)
    assert [reason for report in reports for _, reason, _ in report.skipped] == [DUPLICATE]


def test_no_room_to_enrol(networks: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither for the manifest nor for a segment."""
    galleries = str(tmp_path / "galleries")
    command = enrol_command(photos, galleries, networks)
    for limit in (100, 1000):
        with small_disk(limit):
            assert main(command) == 1
        assert f"error: The folder {galleries} takes no more: File too large." in capsys.readouterr().err
    assert main(command) == 0
    assert people(galleries, networks) == {"Kofi Annan": 1, "Tony Blair": 1}


@pytest.mark.parametrize(("place", "reason"), UNUSABLE)
def test_a_folder_where_nobody_can_be_enrolled(
    networks: Path, photos: Path, capsys: pytest.CaptureFixture[str], place: str, reason: str
) -> None:
    assert main(enrol_command(photos, place, networks)) == 1
    assert capsys.readouterr().err.endswith(f"error: The folder {place} cannot be used: {reason}.\n")


def test_a_bucket_where_nobody_can_be_enrolled(
    s3: Any, proxy: Proxy, uri: str, networks: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(enrol_command(photos, "s3://nobody-has-it/galleries", networks)) == 1
    assert "error: There is no bucket" in capsys.readouterr().err
    for key in ("manifest.json", ".safetensors"):
        proxy.write_faults = {key: refuses(403, "AccessDenied")}
        assert main(enrol_command(photos, uri, networks)) == 1
        message = capsys.readouterr().err
        assert re.search(rf"error: .*{uri}.*AccessDenied", message), message
    proxy.write_faults.clear()
    assert main(enrol_command(photos, uri, networks)) == 0
    assert people(uri, networks) == {"Kofi Annan": 1, "Tony Blair": 1}
