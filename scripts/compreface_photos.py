"""Download the photos that a CompreFace server stores, as a folder for `make enrol PEOPLE=`.

Each subject becomes a folder with one photo for each example. Photos that are there already are not downloaded again.
Exits with 1 if some examples have no photo: CompreFace does not store photos with save_images_to_db=false.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Iterator
from uuid import UUID

import requests

PAGE = 200  # examples
TIMEOUT = 60  # seconds
SUFFIXES = {b"\xff\xd8\xff": ".jpg", b"\x89PN": ".png", b"GIF": ".gif", b"RIF": ".webp"}  # by the first three bytes


class DownloadError(Exception):
    """The message is a sentence for the user."""


class CompreFace:
    """A recognition service of a CompreFace server."""

    def __init__(self, url: str, key: str) -> None:
        self._url = f"{url.rstrip('/')}/api/v1/recognition/faces"
        self._session = requests.Session()
        self._session.headers["x-api-key"] = key

    def examples(self) -> Iterator[tuple[str, str]]:
        """List all examples. -> image ID and subject of each. Raises DownloadError."""
        page, pages = 0, 1
        while page < pages:
            try:
                found = self._get(self._url, page=str(page), size=str(PAGE)).json()
                faces = [(str(UUID(face["image_id"])), str(face["subject"])) for face in found["faces"]]
                page, pages = page + 1, int(found["total_pages"])
            except (ValueError, KeyError, TypeError) as error:
                raise DownloadError("the server's list of examples is not that of CompreFace") from error
            yield from faces

    def photo(self, image_id: str) -> bytes:
        """Read the photo of an example, empty if none is stored. Raises DownloadError."""
        content: bytes = self._get(f"{self._url}/{image_id}/img").content
        return content

    def _get(self, url: str, **parameters: str) -> Any:
        try:
            # A redirect would send the key to another server.
            response = self._session.get(url, params=parameters, timeout=TIMEOUT, allow_redirects=False)
            response.raise_for_status()
        except requests.RequestException as error:
            raise DownloadError(f"the server does not answer as CompreFace does: {error}") from error
        if response.is_redirect:
            raise DownloadError("the server redirects: give the address that it redirects to")
        return response


def download(server: CompreFace, folder: Path) -> tuple[int, int]:
    """Download all photos. -> how many are there now, and how many examples have none.

    Raises DownloadError, OSError.
    """
    stored = missing = 0
    for image_id, subject in server.examples():
        person = folder / _folder_name(subject)
        if any(person.glob(f"{image_id}.*")):
            stored += 1
            continue
        content = server.photo(image_id)
        if not content:
            missing += 1
            continue
        person.mkdir(parents=True, exist_ok=True)
        unfinished = person / f".{image_id}"
        unfinished.write_bytes(content)
        unfinished.rename(person / f"{image_id}{SUFFIXES.get(content[:3], '.jpg')}")
        stored += 1
    return stored, missing


def _folder_name(subject: str) -> str:
    """Return a subject as the name of a folder. CompreFace allows no slash in it."""
    name = subject.replace("/", "_")
    return f"_{name}" if name.startswith(".") else name


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--url", required=True, help="address of the server, as http://localhost:8000")
    parser.add_argument("--key", required=True, help="API key of its recognition service")
    parser.add_argument("folder", type=Path, help="folder for the photos")
    arguments = parser.parse_args()
    try:
        stored, missing = download(CompreFace(arguments.url, arguments.key), arguments.folder)
    except (DownloadError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{stored} photos are in {arguments.folder}" + (f"; {missing} examples have none" if missing else ""))
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
