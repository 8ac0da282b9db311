"""Fixtures and helpers for all tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Iterator

import pytest

from testing.paths import DATA, ROOT
from testing.postgres import PostgresServer, running_postgres
from testing.servers import conditional_s3
from tests.commands import clone

# By default torch's threads spin while they wait for each other, so that a photo takes seconds if other processes need
# the CPUs. OpenMP reads this variable when torch is loaded, here and in child processes.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


# A file's tests run in one process, and all tests in which Serverless writes to .serverless in the same one. xdist
# starts with the groups that have most tests, so a file with few slow tests joins one with many fast tests.
# Otherwise it would run last, and one process would wait for the other.
GROUPS = {
    "test_pipeline.py": "test_uploads.py",
    "test_deploy.py": "test_router.py",
    "test_bulk_deploy.py": "test_router.py",
    "test_run.py": "test_router.py",
    "web": "test_router.py",
    "test_notebook.py": "test_lambda_events.py",
    "test_ship.py": "test_photo.py",
    "test_complaints.py": "test_photo_damage.py",
    "test_backbone.py": "test_photo_damage.py",
    "test_soak.py": "test_docs.py",
}


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Assign tests to the groups that run in one process."""
    for item in items:
        name = "web" if item.path.parent.name == "web" else item.path.name
        item.add_marker(pytest.mark.xdist_group(GROUPS.get(name, name)))


@pytest.fixture()
def context() -> SimpleNamespace:
    """The Lambda context of a request."""
    return SimpleNamespace(aws_request_id="request-1")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    # Not in pytest's folder, into which only the user who runs the tests can look: as root, the server is another one.
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        Path(folder).chmod(0o755)
        # The data need not survive a crash of the machine.
        with running_postgres(Path(folder) / "data", {"fsync": "off"}) as server:
            yield server


@pytest.fixture(scope="session")
def weights() -> Path:
    """TORCH_HOME with the VGGFace2 weights. Skips the test if they are missing."""
    home = DATA / "torch"
    if not (home / "checkpoints" / "20180402-114759-vggface2.pt").exists():
        pytest.skip(f"the VGGFace2 weights are not in {home}: set DATA_DIR")
    return home


@pytest.fixture(scope="session")
def lfw_archive() -> Path:
    """The archive of LFW. Skips the test if it is missing."""
    path = DATA / "lfw" / "lfw-deepfunneled-subset.tgz"
    if not path.exists():
        pytest.skip(f"LFW is not at {path}: set DATA_DIR")
    return path


def by_person(pack: tarfile.TarFile) -> dict[str, list[tarfile.TarInfo]]:
    """Photos by folder name. pack: LFW's archive."""
    photos: dict[str, list[tarfile.TarInfo]] = {}
    for member in pack.getmembers():
        if member.isfile():
            photos.setdefault(member.name.split("/")[1], []).append(member)
    return photos


# People of LFW that replace the course project's ten custom people in docs/training.md.
TEN = [
    *("Abdullah_Gul", "Amelie_Mauresmo", "Andy_Roddick", "Angelina_Jolie", "Bill_Clinton"),
    *("Carlos_Moya", "David_Beckham", "Halle_Berry", "Jackie_Chan", "Jiri_Novak"),
]


@pytest.fixture(scope="session")
def lfw_small(lfw_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with TEN and two other people of LFW, ten photos each, and 60 strangers, 20 of them with two photos."""
    folder = tmp_path_factory.mktemp("lfw")
    with tarfile.open(lfw_archive) as pack:
        photos = by_person(pack)

        def first(people: int, count: int) -> list[str]:
            return [name for name in sorted(photos) if len(photos[name]) == count][:people]

        for name in [*TEN, *first(2, 10), *first(40, 1), *first(20, 2)]:
            (folder / name).mkdir()
            for member in photos[name][:10]:
                content = pack.extractfile(member)
                assert content is not None
                (folder / name / Path(member.name).name).write_bytes(content.read())
    return folder


def some_of(lfw_small: Path, folder: Path, known: int, photos: int, strangers: int = 2) -> Path:
    """Copy a part of `lfw_small` to `folder`: `known` people, TEN first, with `photos` each, and strangers with one."""
    counts = {path.name: len(list(path.iterdir())) for path in sorted(lfw_small.iterdir())}
    others = [name for name in counts if counts[name] == 10 and name not in TEN]
    chosen = dict.fromkeys([*TEN, *others][:known], photos)
    chosen.update(dict.fromkeys([name for name in counts if counts[name] == 1][:strangers], 1))
    for name, count in chosen.items():
        (folder / name).mkdir(parents=True)
        for path in sorted((lfw_small / name).iterdir())[:count]:
            shutil.copy2(path, folder / name)
    return folder


def archive_of(folder: Path, path: Path) -> Path:
    """Pack a folder with the same layout as LFW's archive."""
    with tarfile.open(path, "w:gz", compresslevel=1) as pack:
        pack.add(folder, "lfw-deepfunneled")
    return path


@pytest.fixture()
def checkout(tmp_path: Path) -> Path:
    """A clone of the repository, in which documented commands can write their files."""
    return clone(tmp_path / "clone")


def training(*arguments: object, home: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m training ...`. home: TORCH_HOME."""
    env = {**os.environ, **environment}
    if home:
        env["TORCH_HOME"] = str(home)
    command = [sys.executable, "-m", "training", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=900, check=False)


def sls(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Serverless without AWS variables except those given."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.run(
        [str(ROOT / "node_modules/.bin/sls"), *arguments],
        cwd=ROOT,
        env={**others, "NODE_NO_WARNINGS": "1", "SLS_AWS_MONITORING_FREQUENCY": "500", **environment},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


# What a shell may have set that would decide how S3 is reached.
AWS_SETTINGS = (
    *("AWS_PROFILE", "AWS_CA_BUNDLE", "AWS_MAX_ATTEMPTS", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"),
)


@pytest.fixture()
def no_aws_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove this machine's AWS settings for the test."""
    for name in AWS_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """URL of a local S3 that makes conditional writes."""
    with conditional_s3() as url:
        yield url


@pytest.fixture()
def s3_environment(no_aws_settings: None, s3_server: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Variables that direct every S3 client to the local S3, set for this process and returned for others."""
    environment = {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment
