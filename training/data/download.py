"""The photos of Labeled Faces in the Wild: downloaded once, gone on with where a download broke off, and verified.

What has arrived lies in `<name>.partial`. `<name>.partial.txt` says where it comes from: the address, and the ETag or
the date that the server gave. Only the same file at the same address can be gone on with.
"""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

import requests
from tqdm import tqdm
from urllib3.exceptions import HTTPError, ReadTimeoutError

from storage.cache import sha256_of
from training.errors import TrainingError, log

LFW_URLS = ("http://vis-www.cs.umass.edu/lfw/lfw-funneled.tgz", "https://ndownloader.figshare.com/files/5976015")
LFW_SHA256 = "b47c8422c8cded889dc5a13418c4bc2abbda121092b3533a83306f90d900100a"

CHUNK = 1 << 16  # bytes
GZIP = b"\x1f\x8b"
TIMEOUTS = (10.0, 30.0)  # seconds, to connect and to wait for the next bytes
PAUSES = (1.0, 3.0, 9.0)  # seconds before an address is tried again, while nothing more arrives
TRIES = 50  # of one address, even where each one brings a little more
SHORT = "the connection broke off before all had arrived"


class _Refused(Exception):
    """This address does not have the file; the message says why."""


class _BrokeOff(Exception):
    """Trying again may help; the message says what happened."""


def default_cache() -> Path:
    """Where downloads are kept: $XDG_CACHE_HOME/face-recognition, or ~/.cache/face-recognition."""
    return Path(os.getenv("XDG_CACHE_HOME") or Path.home() / ".cache") / "face-recognition"


def lfw(cache: Path, urls: Sequence[str] = LFW_URLS, checksum: str = LFW_SHA256) -> Path:
    """The archive of LFW, about 240 MB, in the folder `cache`. Raises TrainingError and OSError as `fetch` does."""
    return fetch(urls, cache / "lfw-funneled.tgz", checksum)


def fetch(
    urls: Sequence[str],
    path: Path,
    checksum: str,
    timeouts: tuple[float, float] = TIMEOUTS,
    pauses: Sequence[float] = PAUSES,
) -> Path:
    """`path`, a gzip file with that SHA-256: what is there already, or what the first good address of `urls` gives.

    timeouts: seconds to connect and to wait for the next bytes. pauses: seconds before each further try of an address.
    Raises TrainingError where no address gives the file and OSError where the disk does not take it. What has arrived
    stays for the next call then, as it does after a KeyboardInterrupt.
    """
    if path.exists():
        if sha256_of(path) == checksum:
            return path
        log(f"{path} is damaged and will be downloaded again")
        path.unlink()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"The cache folder {path.parent} cannot be made: {error.strerror}.") from error
    partial = _Partial(path)
    if partial.finish(checksum):
        return path
    begun, failures = partial.source()[0], []
    # First the address that a part has come from: another one would have to send all of it.
    for url in sorted(urls, key=lambda url: url != begun):
        log(f"downloading {url}")
        try:
            _download(url, partial, timeouts, pauses)
            if partial.finish(checksum):
                return path
            partial.discard()
            reason = "what it sends has another checksum, so it is damaged or another file"
        except _Refused as error:
            reason = str(error)
        log(f"{url}: {reason}")
        failures.append(f"{url} ({reason})")
    raise TrainingError(
        f"{path.name} cannot be downloaded from {' or '.join(failures)}. "
        "Try again later, or download it by hand and pass it with --data."
    )


class _Partial:
    """What has arrived of a file so far, and the note that says where from."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path.with_name(f"{path.name}.partial")
        self._note = path.with_name(f"{path.name}.partial.txt")

    def source(self) -> tuple[str, str]:
        """Address, and ETag or date. Empty where they are not known."""
        try:
            url, validator = self._note.read_text(encoding="utf-8").split("\n")
        except (FileNotFoundError, ValueError):
            return "", ""
        return url, validator

    def held(self, url: str) -> int:
        """Bytes that can be gone on with at this address."""
        source, validator = self.source()
        return self.file.stat().st_size if source == url and validator and self.file.exists() else 0

    def begin(self, url: str, validator: str) -> None:
        self.discard()
        self._note.write_text(f"{url}\n{validator}", encoding="utf-8")
        self.file.touch()

    def discard(self) -> None:
        self.file.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def finish(self, checksum: str) -> bool:
        """Put it in its place if it is complete; else nothing changes."""
        if not self.file.exists() or sha256_of(self.file) != checksum:
            return False
        os.replace(self.file, self.path)
        self._note.unlink(missing_ok=True)
        return True


def _download(url: str, partial: _Partial, timeouts: tuple[float, float], pauses: Sequence[float]) -> None:
    """Try until all bytes are there. Raises _Refused, also where it breaks off too often."""
    most, failed = partial.held(url), 0
    for _ in range(TRIES):
        try:
            _attempt(url, partial, timeouts)
            return
        except _BrokeOff as error:
            reason = str(error)
        held = partial.held(url)
        failed = 1 if held > most else failed + 1
        most = max(most, held)
        if failed > len(pauses):
            break
        log(f"{reason}; trying again")
        time.sleep(pauses[failed - 1])
    raise _Refused(reason)


def _attempt(url: str, partial: _Partial, timeouts: tuple[float, float]) -> None:
    """One request, for all or for the rest. Raises _Refused and _BrokeOff."""
    held = partial.held(url)
    # A server that compresses the archive once more would count other bytes than the file's.
    headers = {"Accept-Encoding": "identity"}
    if held:
        headers.update({"Range": f"bytes={held}-", "If-Range": partial.source()[1]})
    try:
        with requests.get(url, headers=headers, stream=True, timeout=timeouts) as response:
            start, total = _answer(response, partial, held)
            _write(response, partial, url, start, total)
    except (requests.RequestException, HTTPError) as error:
        raise _BrokeOff(_in_words(error, timeouts)) from error
    size = partial.file.stat().st_size
    if total is not None and size < total:
        raise _BrokeOff(SHORT)
    if total is not None and size > total:
        partial.discard()
        raise _Refused(f"it sends more than the {total:,} bytes that it announces")


def _answer(response: requests.Response, partial: _Partial, held: int) -> tuple[int, int | None]:
    """Where in the file the answer starts, and the bytes of the whole file where the server says so.

    Raises _Refused and _BrokeOff.
    """
    status = f"it answers {response.status_code} {response.reason or ''}".rstrip()
    if response.status_code in (408, 429) or response.status_code >= 500:
        raise _BrokeOff(status)
    if response.status_code not in (200, 206, 416):
        raise _Refused(status)
    if response.status_code != 416 and response.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise _Refused("it sends a web page instead of the file")
    if response.status_code == 200:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdigit() else None
    span = re.match(r"bytes (\d+)-\d+/(\d+|\*)$", response.headers.get("Content-Range", ""))
    other_file = held and _validator(response) not in ("", partial.source()[1])
    if response.status_code == 416 or not span or int(span[1]) != held or other_file:
        if held:
            partial.discard()
        raise _BrokeOff("it does not go on where the download broke off")
    return held, None if span[2] == "*" else int(span[2])


def _validator(response: requests.Response) -> str:
    """What If-Range takes: a strong ETag, or else the date."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")


def _write(response: requests.Response, partial: _Partial, url: str, start: int, total: int | None) -> None:
    """start, total: bytes. Raises _Refused, _BrokeOff, and OSError where the disk does not take it."""
    # Not `iter_content`: it unpacks where a server calls the archive's own gzip a Content-Encoding.
    chunks = response.raw.stream(CHUNK, decode_content=False)
    if not start:
        # What came from elsewhere before is given up only for something that begins like the file.
        first = next(chunks, b"")
        if not first:
            raise _BrokeOff(SHORT)
        if not GZIP.startswith(first[:2]):
            raise _Refused("it sends something else than a gzip file")
        partial.begin(url, _validator(response))
        chunks = itertools.chain([first], chunks)
    name = f"download {partial.path.name}"
    with tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=name) as bar, partial.file.open("ab") as file:
        for chunk in chunks:
            file.write(chunk)
            bar.update(len(chunk))


def _in_words(error: Exception, timeouts: tuple[float, float]) -> str:
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection within {timeouts[0]:g} s"
    if isinstance(error, (requests.ReadTimeout, ReadTimeoutError)):
        return f"nothing arrived for {timeouts[1]:g} s"
    if isinstance(error, requests.RequestException):
        return f"no answer ({type(error).__name__})"
    return SHORT
