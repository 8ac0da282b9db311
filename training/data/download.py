"""Download the photos of Labeled Faces in the Wild once, resuming interrupted downloads, and verify their checksum.

An unfinished download is kept in `<name>.partial`. `<name>.partial.txt` holds its URL and the ETag or date of the
response, because only the same file from the same URL can be resumed.
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
PAUSES = (1.0, 3.0, 9.0)  # seconds before each retry of a URL; they start again once more bytes have arrived
MAX_TRIES = 50  # per URL, even if each one makes progress
TRUNCATED = "the connection was closed before the whole file had arrived"


class _PermanentError(Exception):
    """This URL does not provide the file. The message is the reason, a clause."""


class _TransientError(Exception):
    """A retry may succeed. The message is the reason, a clause."""


def lfw(cache: Path, urls: Sequence[str] = LFW_URLS, checksum: str = LFW_SHA256) -> Path:
    """Return the path of LFW's archive (about 240 MB) in the folder `cache`, downloading it if it is not there.

    Raises TrainingError and OSError as `fetch` does.
    """
    return fetch(urls, cache / "lfw-funneled.tgz", checksum)


def fetch(
    urls: Sequence[str],
    path: Path,
    checksum: str,
    timeouts: tuple[float, float] = TIMEOUTS,
    pauses: Sequence[float] = PAUSES,
) -> Path:
    """Return `path`, a gzip file with this SHA-256, downloading it from the first URL that provides it if necessary.

    timeouts: seconds to connect and to wait for the next bytes. pauses: seconds before each retry of a URL.

    Raises TrainingError if no URL provides the file, and OSError if it cannot be written. After these errors and after
    a KeyboardInterrupt the next call resumes the download.
    """
    if _is_cached(path, checksum):
        return path
    partial = _PartialFile(path)
    if partial.finish(checksum):
        return path
    source, failures = partial.source()[0], []
    # First the URL of the partial file, because any other would have to send the whole file.
    for url in sorted(urls, key=lambda url: url != source):
        log(f"downloading {url}")
        try:
            _download(url, partial, checksum, timeouts, pauses)
            return path
        except _PermanentError as error:
            log(f"{url}: {error}")
            failures.append(f"{url} ({error})")
    raise TrainingError(
        f"{path.name} cannot be downloaded from {' or '.join(failures)}. "
        "Try again later, or download it yourself and pass it with --data."
    )


def _is_cached(path: Path, checksum: str) -> bool:
    """Return True if the file is there. Removes a damaged file and creates the folder. Raises TrainingError."""
    if path.exists():
        if sha256_of(path) == checksum:
            return True
        log(f"{path} is damaged and will be downloaded again")
        path.unlink()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"The cache folder {path.parent} cannot be created: {error.strerror}.") from error
    return False


class _PartialFile:
    """The bytes of a file that have arrived, and a note about their source."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path.with_name(f"{path.name}.partial")
        self._note = path.with_name(f"{path.name}.partial.txt")

    def source(self) -> tuple[str, str]:
        """Return the URL, and the ETag or date. Both are empty if unknown."""
        try:
            url, validator = self._note.read_text(encoding="utf-8").split("\n")
        except (FileNotFoundError, ValueError):
            return "", ""
        return url, validator

    def resumable_bytes(self, url: str) -> int:
        """Return the number of bytes after which a download from this URL can be resumed."""
        source, validator = self.source()
        return self.file.stat().st_size if source == url and validator and self.file.exists() else 0

    def begin(self, url: str, validator: str) -> None:
        """Start an empty file. validator: the response's ETag or date."""
        self.discard()
        self._note.write_text(f"{url}\n{validator}", encoding="utf-8")
        self.file.touch()

    def discard(self) -> None:
        self.file.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def finish(self, checksum: str) -> bool:
        """Give the file its final name if it is complete; otherwise return False and change nothing."""
        if not self.file.exists() or sha256_of(self.file) != checksum:
            return False
        os.replace(self.file, self.path)
        self._note.unlink(missing_ok=True)
        return True


def _download(
    url: str, partial: _PartialFile, checksum: str, timeouts: tuple[float, float], pauses: Sequence[float]
) -> None:
    """Download a file from one URL and verify it. Raises _PermanentError if the URL does not provide it."""
    _request_all(url, partial, timeouts, pauses)
    if not partial.finish(checksum):
        partial.discard()
        raise _PermanentError("the checksum is wrong: the file is damaged or a different one")


def _request_all(url: str, partial: _PartialFile, timeouts: tuple[float, float], pauses: Sequence[float]) -> None:
    """Send requests until all bytes have arrived. Raises _PermanentError, also after too many transient errors."""
    progress, failures = partial.resumable_bytes(url), 0
    for _ in range(MAX_TRIES):
        try:
            _request(url, partial, timeouts)
            return
        except _TransientError as error:
            reason = str(error)
        received = partial.resumable_bytes(url)
        failures = 1 if received > progress else failures + 1
        progress = max(progress, received)
        if failures > len(pauses):
            break
        log(f"{reason}; trying again")
        time.sleep(pauses[failures - 1])
    raise _PermanentError(reason)


def _request(url: str, partial: _PartialFile, timeouts: tuple[float, float]) -> None:
    """Send one request for the whole file or for the rest of it. Raises _PermanentError and _TransientError."""
    received = partial.resumable_bytes(url)
    # With another content encoding the server would count the bytes of the encoded file.
    headers = {"Accept-Encoding": "identity"}
    if received:
        headers.update({"Range": f"bytes={received}-", "If-Range": partial.source()[1]})
    try:
        with requests.get(url, headers=headers, stream=True, timeout=timeouts) as response:
            start, total = _check_response(response, partial, received)
            _write_body(response, partial, url, start, total)
    except (requests.RequestException, HTTPError) as error:
        raise _TransientError(_describe_error(error, timeouts)) from error
    size = partial.file.stat().st_size
    if total is not None and size < total:
        raise _TransientError(TRUNCATED)
    if total is not None and size > total:
        partial.discard()
        raise _PermanentError(f"the server sent more than the {total:,} bytes that it announced")


def _check_response(response: requests.Response, partial: _PartialFile, received: int) -> tuple[int, int | None]:
    """Return the position in the file at which the body starts, and the size of the whole file or None if unknown.

    Raises _PermanentError and _TransientError.
    """
    status = f"the server answered {response.status_code} {response.reason or ''}".rstrip()
    if response.status_code in (408, 429) or response.status_code >= 500:
        raise _TransientError(status)
    if response.status_code not in (200, 206, 416):
        raise _PermanentError(status)
    if response.status_code != 416 and response.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise _PermanentError("the server sent a web page instead of the file")
    if response.status_code == 200:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdigit() else None
    span = re.match(r"bytes (\d+)-\d+/(\d+|\*)$", response.headers.get("Content-Range", ""))
    other_file = received and _validator(response) not in ("", partial.source()[1])
    if response.status_code == 416 or not span or int(span[1]) != received or other_file:
        if received:
            partial.discard()
        raise _TransientError("the server cannot resume the download")
    return received, None if span[2] == "*" else int(span[2])


def _validator(response: requests.Response) -> str:
    """Return a value for If-Range: a strong ETag, otherwise the date of the last change, or ""."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")


def _write_body(response: requests.Response, partial: _PartialFile, url: str, start: int, total: int | None) -> None:
    """Append the body to the partial file. start, total: bytes. Raises _PermanentError, _TransientError and OSError."""
    # Not `iter_content`: it would decompress the archive if the server calls its gzip format a Content-Encoding.
    chunks = response.raw.stream(CHUNK, decode_content=False)
    if not start:
        # Bytes from another URL are discarded only if this body starts like the file.
        first = next(chunks, b"")
        if not first:
            raise _TransientError(TRUNCATED)
        if not GZIP.startswith(first[:2]):
            raise _PermanentError("the server sent something other than a gzip file")
        partial.begin(url, _validator(response))
        chunks = itertools.chain([first], chunks)
    name = f"download {partial.path.name}"
    with tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=name) as bar, partial.file.open("ab") as file:
        for chunk in chunks:
            file.write(chunk)
            bar.update(len(chunk))


def _describe_error(error: Exception, timeouts: tuple[float, float]) -> str:
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection within {timeouts[0]:g} s"
    if isinstance(error, (requests.ReadTimeout, ReadTimeoutError)):
        return f"nothing arrived for {timeouts[1]:g} s"
    if isinstance(error, requests.RequestException):
        return f"no response ({type(error).__name__})"
    return TRUNCATED
