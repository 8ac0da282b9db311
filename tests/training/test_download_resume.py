from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.download_server import (
    FILE,
    HALF,
    OTHER,
    SIZE,
    Answer,
    Handler,
    Site,
    get,
    ignore_range,
    names,
    respond,
    truncated,
)
from training.data import download
from training.data.download import CHUNK
from training.errors import TrainingError

PARTIAL = {"faces.tgz.partial", "faces.tgz.partial.txt"}


@pytest.mark.parametrize(
    "headers",
    [{"ETag": '"1"'}, {"ETag": 'W/"1"', "Last-Modified": "Thu, 01 Jan 2015 00:00:00 GMT"}],
    ids=["etag", "date"],
)
def test_resumes_after_a_lost_connection(headers: dict[str, str], sites: tuple[Site, Site], tmp_path: Path) -> None:
    official, mirror = sites
    official.headers = headers
    official.script = [truncated(HALF)]
    assert get(sites, tmp_path).read_bytes() == FILE
    assert official.ranges() == [None, f"bytes={HALF}-"]
    assert official.requests[1]["If-Range"] == list(headers.values())[-1]
    assert not mirror.requests
    assert names(tmp_path) == {"faces.tgz"}


def test_resumes_in_a_later_call(sites: tuple[Site, Site], tmp_path: Path) -> None:
    official, mirror = sites
    official.script = [respond(404)]
    mirror.script = [truncated(HALF), *[respond(503)] * 3]
    with pytest.raises(TrainingError, match="503 Service Unavailable"):
        get(sites, tmp_path)
    assert names(tmp_path) == PARTIAL

    # From the URL of the first half, although the other one is first in the list.
    assert get(sites, tmp_path).read_bytes() == FILE
    assert mirror.ranges() == [None, *[f"bytes={HALF}-"] * 4]
    assert official.ranges() == [None]
    assert names(tmp_path) == {"faces.tgz"}


def test_resumes_after_ctrl_c(sites: tuple[Site, Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(download.tqdm):  # type: ignore[name-defined]
        def update(self, n: float = 1) -> None:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(download, "tqdm", Interrupted)
        get(sites, tmp_path)
    assert names(tmp_path) == PARTIAL
    assert get(sites, tmp_path).read_bytes() == FILE
    assert sites[0].ranges() == [None, f"bytes={CHUNK}-"]


def test_complete_partial_file_is_not_downloaded_again(sites: tuple[Site, Site], tmp_path: Path) -> None:
    (tmp_path / "faces.tgz.partial").write_bytes(FILE)
    assert get(sites, tmp_path).read_bytes() == FILE
    assert not sites[0].requests
    assert names(tmp_path) == {"faces.tgz"}


def test_partial_file_of_another_url_is_not_resumed(sites: tuple[Site, Site], tmp_path: Path) -> None:
    official, mirror = sites
    official.script = [truncated(HALF), respond(404)]
    mirror.script = [truncated(HALF)]
    assert get(sites, tmp_path).read_bytes() == FILE
    assert mirror.ranges() == [None, f"bytes={HALF}-"]


def test_partial_file_is_kept_if_the_other_url_fails(sites: tuple[Site, Site], tmp_path: Path) -> None:
    official, mirror = sites
    official.script = [truncated(HALF), respond(404)]
    mirror.script = [respond(200, b"<html>")]
    with pytest.raises(TrainingError):
        get(sites, tmp_path)
    assert (tmp_path / "faces.tgz.partial").read_bytes() == FILE[:HALF]


@pytest.mark.parametrize("note", ["", "\n", 'http://127.0.0.1/elsewhere.tgz\n"1"', "\udcff"])
def test_partial_file_of_unknown_source_is_not_resumed(note: str, sites: tuple[Site, Site], tmp_path: Path) -> None:
    (tmp_path / "faces.tgz.partial").write_bytes(OTHER[:HALF])
    (tmp_path / "faces.tgz.partial.txt").write_bytes(note.encode(errors="surrogateescape"))
    assert get(sites, tmp_path).read_bytes() == FILE
    assert sites[0].ranges() == [None]


WRONG_RANGES = {
    "no ranges": ignore_range,
    "416": respond(416, b"<html>", Content_Type="text/html"),
    "wrong start": respond(206, FILE[5:], Content_Range=f"bytes 5-{SIZE - 1}/{SIZE}"),
    "no start": respond(206, FILE[HALF:]),
    "other file": respond(206, OTHER[HALF:], Content_Range=f"bytes {HALF}-{SIZE - 1}/{SIZE}", ETag='"2"'),
}


@pytest.mark.parametrize("answer", WRONG_RANGES.values(), ids=WRONG_RANGES)
def test_servers_that_cannot_resume(answer: Answer, sites: tuple[Site, Site], tmp_path: Path) -> None:
    official, mirror = sites
    official.script = [truncated(HALF), answer]
    assert get(sites, tmp_path).read_bytes() == FILE
    assert official.ranges()[:2] == [None, f"bytes={HALF}-"]
    assert official.ranges()[2:] == ([] if answer is ignore_range else [None])
    assert not mirror.requests


def test_progress_allows_more_retries_up_to_a_limit(
    sites: tuple[Site, Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    official, mirror = sites

    def a_little_more(handler: Handler, site: Site) -> None:
        start = int(handler.headers.get("Range", "bytes=0-")[len("bytes=") : -1])
        length = {"Content-Length": str(SIZE - start), "Content-Range": f"bytes {start}-{SIZE - 1}/{SIZE}"}
        handler.answer(206, FILE[start : start + 1000], **{**site.headers, **length})

    # urllib3 2 drops the last bytes before an interruption if they are fewer than requested.
    monkeypatch.setattr(download, "CHUNK", 1000)
    monkeypatch.setattr(download, "MAX_TRIES", 6)
    official.script = [a_little_more, *[respond(500)] * 2, a_little_more, *[respond(500)] * 3]
    get(sites, tmp_path)
    assert official.ranges() == [None, *["bytes=1000-"] * 3, *["bytes=2000-"] * 2]
    assert mirror.ranges() == [None]


def test_partial_file_without_etag_or_date_is_not_resumed(sites: tuple[Site, Site], tmp_path: Path) -> None:
    sites[0].headers = {}
    sites[0].script = [truncated(HALF)]
    assert get(sites, tmp_path).read_bytes() == FILE
    assert sites[0].ranges() == [None, None]
