from __future__ import annotations

import re
import resource
from pathlib import Path

import pytest

from tests.training.download_server import (
    CHECKSUM,
    FILE,
    HALF,
    OTHER,
    SIZE,
    Answer,
    Handler,
    Site,
    get,
    names,
    respond,
    stalled,
    truncated,
)
from training.data.download import lfw
from training.errors import TrainingError


def test_download_and_cache(sites: tuple[Site, Site], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    official, mirror = sites
    cache, urls = tmp_path / "a" / "cache", (official.url, mirror.url)
    path = lfw(cache, urls, CHECKSUM)
    assert path == cache / "lfw-funneled.tgz"
    assert path.read_bytes() == FILE
    assert names(cache) == {path.name}
    assert re.search(r"download lfw-funneled\.tgz: 100%.*263k/263k \[00:00<00:00, .*B/s\]", capsys.readouterr().err)

    assert lfw(cache, urls, CHECKSUM) == path
    assert official.ranges() == [None]
    assert not mirror.requests


def test_damaged_file_in_the_cache_is_replaced(sites: tuple[Site, Site], tmp_path: Path) -> None:
    (tmp_path / "faces.tgz").write_bytes(FILE[:-1])
    assert get(sites, tmp_path).read_bytes() == FILE
    assert sites[0].ranges() == [None]


def test_content_encoding_does_not_unpack_the_archive(sites: tuple[Site, Site], tmp_path: Path) -> None:
    sites[0].headers = {"Content-Encoding": "gzip"}
    assert get(sites, tmp_path).read_bytes() == FILE
    assert not sites[1].requests


def test_chunked_response_without_a_length(
    sites: tuple[Site, Site], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def chunked(handler: Handler, site: Site) -> None:
        handler.protocol_version = "HTTP/1.1"
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.send_header("Connection", "close")
        handler.end_headers()
        for start in range(0, SIZE, 50_000):
            part = FILE[start : start + 50_000]
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            if broken and start:
                return
        handler.wfile.write(b"0\r\n\r\n")

    for broken in (True, False):
        sites[0].requests.clear()
        sites[0].script = [chunked]
        assert get(sites, tmp_path / str(broken)).read_bytes() == FILE
        assert len(sites[0].requests) == 1 + broken
        assert ("the connection was closed" in capsys.readouterr().err) == broken
    assert not sites[1].requests


USELESS = {
    "404": ([respond(404, b"no", Content_Type="text/html")], "the server answered 404 Not Found"),
    "500": ([respond(500)] * 4, "the server answered 500 Internal Server Error"),
    "not ready": ([respond(202)], "the server answered 202 Accepted"),
    "web page": ([respond(200, b"<html>", Content_Type="text/html; charset=utf-8")], "a web page instead of the file"),
    "other bytes": ([respond(200, b"<html>", Content_Type="application/gzip")], "something other than a gzip file"),
    "other file": ([respond(200, OTHER)], "the checksum is wrong"),
    "nothing": ([respond(200)] * 4, "closed before the whole file had arrived"),
    "less than announced": ([truncated(HALF)] * 4, "closed before the whole file had arrived"),
    "length too small": ([respond(200, FILE, Content_Length=str(SIZE - 1))], "the checksum is wrong"),
    "more than announced": (
        [truncated(HALF), respond(206, FILE[HALF:], Content_Range=f"bytes {HALF}-{SIZE - 2}/{SIZE - 1}")],
        f"more than the {SIZE - 1:,} bytes",
    ),
    "stalls": ([stalled] * 4, "nothing arrived for 0.5 s"),
    "never responds": ([lambda handler, site: bool(site.stopped.wait(5))] * 4, "nothing arrived for 0.5 s"),
    "closes at once": ([lambda handler, site: None] * 4, r"no response \(ConnectionError\)"),
    "endless redirects": ([respond(302, Location="/official.tgz")] * 40, r"no response \(TooManyRedirects\)"),
}


@pytest.mark.parametrize(("script", "reason"), USELESS.values(), ids=USELESS)
def test_useless_urls_are_skipped(
    script: list[Answer], reason: str, sites: tuple[Site, Site], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    official, mirror = sites
    read_timeout = 0.5 if "for 0.5 s" in reason else 5
    official.script = script * 4
    assert get(sites, tmp_path, read_timeout).read_bytes() == FILE
    assert re.search(rf"{official.url}: .*{reason}", capsys.readouterr().err)
    if not reason.startswith("no response"):
        assert len(official.requests) == len(script)
    assert mirror.ranges() == [None]
    assert names(tmp_path) == {"faces.tgz"}


def test_no_url_has_the_file(sites: tuple[Site, Site], tmp_path: Path) -> None:
    official, mirror = sites
    official.content, mirror.script = OTHER, [respond(404)]
    with pytest.raises(TrainingError) as raised:
        get(sites, tmp_path)
    assert str(raised.value) == (
        f"faces.tgz cannot be downloaded from {official.url} "
        "(the checksum is wrong: the file is damaged or a different one) "
        f"or {mirror.url} (the server answered 404 Not Found). "
        "Try again later, or download it yourself and pass it with --data."
    )
    assert not names(tmp_path)
    assert (len(official.requests), len(mirror.requests)) == (1, 1)


def test_refused_connection(tmp_path: Path, sites: tuple[Site, Site]) -> None:
    closed = Site("http://127.0.0.1:9/faces.tgz")
    assert get((closed, sites[1]), tmp_path).read_bytes() == FILE


def test_cache_folder_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match=r"cannot be created: Not a directory\."):
        lfw(tmp_path / "file" / "cache")


def test_full_disk_does_not_skip_the_url(sites: tuple[Site, Site], tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (HALF, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            get(sites, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not sites[1].requests
    assert get(sites, tmp_path).read_bytes() == FILE
    assert sites[0].ranges() == [None, f"bytes={HALF}-"]
