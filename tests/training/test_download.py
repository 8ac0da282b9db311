from __future__ import annotations

import contextlib
import hashlib
import random
import re
import resource
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from training.data import download
from training.data.download import CHUNK, default_cache, fetch, lfw
from training.errors import TrainingError

SIZE = 4 * CHUNK + 1000
FILE = b"\x1f\x8b" + random.Random(0).getrandbits(8 * (SIZE - 2)).to_bytes(SIZE - 2, "big")
OTHER = b"\x1f\x8b" + FILE[:1:-1]
CHECKSUM = hashlib.sha256(FILE).hexdigest()
# Whole chunks, so that all of what was sent before a break counts.
HALF = 2 * CHUNK

Answer = Callable[["Handler", "Site"], None]


@dataclass
class Site:
    """One address. script: what its next requests get; after that they get the file as they should."""

    url: str
    script: list[Answer] = field(default_factory=list)
    content: bytes = FILE
    headers: dict[str, str] = field(default_factory=lambda: {"ETag": '"1"'})
    requests: list[dict[str, str]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def ranges(self) -> list[str | None]:
        return [headers.get("Range") for headers in self.requests]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        site: Site = self.server.sites[self.path]
        site.requests.append(dict(self.headers.items()))
        # A client that has seen enough goes away.
        with contextlib.suppress(ConnectionError):
            (site.script.pop(0) if site.script else properly)(self, site)

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """headers: with _ for each -."""
        self.send_response(status)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = False
    sites: dict[str, Site]


def properly(handler: Handler, site: Site) -> None:
    """As RFC 9110 has it."""
    span = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    same = handler.headers.get("If-Range") in (None, *site.headers.values())
    if not span or not same:
        handler.answer(200, site.content, **site.headers)
    elif int(span[1]) >= len(site.content):
        handler.answer(416, Content_Range=f"bytes */{len(site.content)}")
    else:
        part = f"bytes {span[1]}-{len(site.content) - 1}/{len(site.content)}"
        handler.answer(206, site.content[int(span[1]) :], Content_Range=part, **site.headers)


def whole(handler: Handler, site: Site) -> None:
    handler.answer(200, site.content, **site.headers)


def cut(size: int) -> Answer:
    """Closes the connection after that many bytes of the file."""

    def answer(handler: Handler, site: Site) -> None:
        length = str(len(site.content))
        handler.answer(200, site.content[:size], **{**site.headers, "Content-Length": length})

    return answer


def stalled(handler: Handler, site: Site) -> None:
    cut(HALF)(handler, site)
    handler.wfile.flush()
    site.over.wait(5)


def says(status: int, body: bytes = b"", **headers: str) -> Answer:
    return lambda handler, site: handler.answer(status, body, **headers)


@pytest.fixture()
def sites(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Site, Site]]:
    """The official address and its mirror."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        server.sites = {path: Site(url + path) for path in ("/official.tgz", "/mirror.tgz")}
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.sites["/official.tgz"], server.sites["/mirror.tgz"]
        finally:
            for site in server.sites.values():
                site.over.set()
            server.shutdown()
            thread.join()


def get(sites: tuple[Site, ...], folder: Path, read_timeout: float = 5) -> Path:
    urls = [site.url for site in sites]
    return fetch(urls, folder / "faces.tgz", CHECKSUM, timeouts=(5, read_timeout), pauses=(0, 0, 0))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


PARTIAL = {"faces.tgz.partial", "faces.tgz.partial.txt"}


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


def test_what_is_damaged_in_the_cache_is_replaced(sites: tuple[Site, Site], tmp_path: Path) -> None:
    (tmp_path / "faces.tgz").write_bytes(FILE[:-1])
    assert get(sites, tmp_path).read_bytes() == FILE
    assert sites[0].ranges() == [None]


@pytest.mark.parametrize(
    "headers",
    [{"ETag": '"1"'}, {"ETag": 'W/"1"', "Last-Modified": "Thu, 01 Jan 2015 00:00:00 GMT"}],
    ids=["etag", "date"],
)
def test_goes_on_where_it_broke_off(headers: dict[str, str], sites: tuple[Site, Site], tmp_path: Path) -> None:
    official, mirror = sites
    official.headers = headers
    official.script = [cut(HALF)]
    assert get(sites, tmp_path).read_bytes() == FILE
    assert official.ranges() == [None, f"bytes={HALF}-"]
    assert official.requests[1]["If-Range"] == list(headers.values())[-1]
    assert not mirror.requests
    assert names(tmp_path) == {"faces.tgz"}


def test_goes_on_in_a_later_call(sites: tuple[Site, Site], tmp_path: Path) -> None:
    official, mirror = sites
    official.script = [says(404)]
    mirror.script = [cut(HALF), *[says(503)] * 3]
    with pytest.raises(TrainingError, match="503 Service Unavailable"):
        get(sites, tmp_path)
    assert names(tmp_path) == PARTIAL

    # Where the first half came from, although the other address stands first.
    assert get(sites, tmp_path).read_bytes() == FILE
    assert mirror.ranges() == [None, *[f"bytes={HALF}-"] * 4]
    assert official.ranges() == [None]
    assert names(tmp_path) == {"faces.tgz"}


def test_goes_on_after_ctrl_c(sites: tuple[Site, Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(download.tqdm):  # type: ignore[name-defined]
        def update(self, n: float = 1) -> None:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(download, "tqdm", Interrupted)
        get(sites, tmp_path)
    assert names(tmp_path) == PARTIAL
    assert get(sites, tmp_path).read_bytes() == FILE
    assert sites[0].ranges() == [None, f"bytes={CHUNK}-"]


def test_all_had_arrived_before_the_end_came(sites: tuple[Site, Site], tmp_path: Path) -> None:
    (tmp_path / "faces.tgz.partial").write_bytes(FILE)
    assert get(sites, tmp_path).read_bytes() == FILE
    assert not sites[0].requests
    assert names(tmp_path) == {"faces.tgz"}


def test_part_of_another_address_is_not_gone_on_with(sites: tuple[Site, Site], tmp_path: Path) -> None:
    official, mirror = sites
    official.script = [cut(HALF), says(404)]
    mirror.script = [cut(HALF)]
    assert get(sites, tmp_path).read_bytes() == FILE
    assert mirror.ranges() == [None, f"bytes={HALF}-"]


def test_part_stays_where_the_other_address_has_nothing(sites: tuple[Site, Site], tmp_path: Path) -> None:
    official, mirror = sites
    official.script = [cut(HALF), says(404)]
    mirror.script = [says(200, b"<html>")]
    with pytest.raises(TrainingError):
        get(sites, tmp_path)
    assert (tmp_path / "faces.tgz.partial").read_bytes() == FILE[:HALF]


@pytest.mark.parametrize("note", ["", "\n", 'http://127.0.0.1/elsewhere.tgz\n"1"', "\udcff"])
def test_part_of_unknown_source_is_not_gone_on_with(note: str, sites: tuple[Site, Site], tmp_path: Path) -> None:
    (tmp_path / "faces.tgz.partial").write_bytes(OTHER[:HALF])
    (tmp_path / "faces.tgz.partial.txt").write_bytes(note.encode(errors="surrogateescape"))
    assert get(sites, tmp_path).read_bytes() == FILE
    assert sites[0].ranges() == [None]


RESUMED_WRONGLY = {
    "no ranges": whole,
    "416": says(416, b"<html>", Content_Type="text/html"),
    "from elsewhere": says(206, FILE[5:], Content_Range=f"bytes 5-{SIZE - 1}/{SIZE}"),
    "from nowhere": says(206, FILE[HALF:]),
    "other file": says(206, OTHER[HALF:], Content_Range=f"bytes {HALF}-{SIZE - 1}/{SIZE}", ETag='"2"'),
}


@pytest.mark.parametrize("answer", RESUMED_WRONGLY.values(), ids=RESUMED_WRONGLY)
def test_servers_that_do_not_go_on(answer: Answer, sites: tuple[Site, Site], tmp_path: Path) -> None:
    official, mirror = sites
    official.script = [cut(HALF), answer]
    assert get(sites, tmp_path).read_bytes() == FILE
    assert official.ranges()[:2] == [None, f"bytes={HALF}-"]
    assert official.ranges()[2:] == ([] if answer is whole else [None])
    assert not mirror.requests


def test_progress_earns_more_tries_but_not_endlessly(
    sites: tuple[Site, Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    official, mirror = sites

    def a_little_more(handler: Handler, site: Site) -> None:
        start = int(handler.headers.get("Range", "bytes=0-")[len("bytes=") : -1])
        length = {"Content-Length": str(SIZE - start), "Content-Range": f"bytes {start}-{SIZE - 1}/{SIZE}"}
        handler.answer(206, FILE[start : start + 1000], **{**site.headers, **length})

    # urllib3 2 does not hand out the last bytes before a break where they are fewer than were asked for.
    monkeypatch.setattr(download, "CHUNK", 1000)
    monkeypatch.setattr(download, "TRIES", 6)
    official.script = [a_little_more, *[says(500)] * 2, a_little_more, *[says(500)] * 3]
    get(sites, tmp_path)
    assert official.ranges() == [None, *["bytes=1000-"] * 3, *["bytes=2000-"] * 2]
    assert mirror.ranges() == [None]


def test_part_without_etag_or_date_is_not_gone_on_with(sites: tuple[Site, Site], tmp_path: Path) -> None:
    sites[0].headers = {}
    sites[0].script = [cut(HALF)]
    assert get(sites, tmp_path).read_bytes() == FILE
    assert sites[0].ranges() == [None, None]


def test_archive_that_is_called_encoded_stays_packed(sites: tuple[Site, Site], tmp_path: Path) -> None:
    sites[0].headers = {"Content-Encoding": "gzip"}
    assert get(sites, tmp_path).read_bytes() == FILE
    assert not sites[1].requests


def test_chunked_answer_without_a_length(
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
        assert ("broke off" in capsys.readouterr().err) == broken
    assert not sites[1].requests


OF_NO_USE = {
    "404": ([says(404, b"no", Content_Type="text/html")], "it answers 404 Not Found"),
    "500": ([says(500)] * 4, "it answers 500 Internal Server Error"),
    "waits for a browser": ([says(202)], "it answers 202 Accepted"),
    "web page": ([says(200, b"<html>", Content_Type="text/html; charset=utf-8")], "a web page instead of the file"),
    "other bytes": ([says(200, b"<html>", Content_Type="application/gzip")], "something else than a gzip file"),
    "other file": ([says(200, OTHER)], "another checksum"),
    "nothing": ([says(200)] * 4, "broke off before all had arrived"),
    "less than announced": ([cut(HALF)] * 4, "broke off before all had arrived"),
    "length too small": ([says(200, FILE, Content_Length=str(SIZE - 1))], "another checksum"),
    "more than announced": (
        [cut(HALF), says(206, FILE[HALF:], Content_Range=f"bytes {HALF}-{SIZE - 2}/{SIZE - 1}")],
        f"more than the {SIZE - 1:,} bytes",
    ),
    "stalls": ([stalled] * 4, "nothing arrived for 0.5 s"),
    "never answers": ([lambda handler, site: bool(site.over.wait(5))] * 4, "nothing arrived for 0.5 s"),
    "hangs up": ([lambda handler, site: None] * 4, r"no answer \(ConnectionError\)"),
    "goes in circles": ([says(302, Location="/official.tgz")] * 40, r"no answer \(TooManyRedirects\)"),
}


@pytest.mark.parametrize(("script", "reason"), OF_NO_USE.values(), ids=OF_NO_USE)
def test_addresses_that_are_of_no_use(
    script: list[Answer], reason: str, sites: tuple[Site, Site], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    official, mirror = sites
    read_timeout = 0.5 if "for 0.5 s" in reason else 5
    official.script = script * 4
    assert get(sites, tmp_path, read_timeout).read_bytes() == FILE
    assert re.search(rf"{official.url}: .*{reason}", capsys.readouterr().err)
    if not reason.startswith("no answer"):
        assert len(official.requests) == len(script)
    assert mirror.ranges() == [None]
    assert names(tmp_path) == {"faces.tgz"}


def test_nobody_has_it(sites: tuple[Site, Site], tmp_path: Path) -> None:
    official, mirror = sites
    official.content, mirror.script = OTHER, [says(404)]
    with pytest.raises(TrainingError) as raised:
        get(sites, tmp_path)
    assert str(raised.value) == (
        f"faces.tgz cannot be downloaded from {official.url} "
        "(what it sends has another checksum, so it is damaged or another file) "
        f"or {mirror.url} (it answers 404 Not Found). "
        "Try again later, or download it by hand and pass it with --data."
    )
    assert not names(tmp_path)
    assert (len(official.requests), len(mirror.requests)) == (1, 1)


def test_nobody_listens(tmp_path: Path, sites: tuple[Site, Site]) -> None:
    closed = Site("http://127.0.0.1:9/faces.tgz")
    assert get((closed, sites[1]), tmp_path).read_bytes() == FILE


def test_no_folder_for_the_cache(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match=r"cannot be made: Not a directory\."):
        lfw(tmp_path / "file" / "cache")


def test_full_disk_is_no_fault_of_the_address(sites: tuple[Site, Site], tmp_path: Path) -> None:
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


def test_default_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_cache() == Path("/somewhere/face-recognition")
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert default_cache() == Path("/home/someone/.cache/face-recognition")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache() == Path("/home/someone/.cache/face-recognition")
