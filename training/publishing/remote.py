"""The people of a collection behind a running endpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from requests_toolbelt import MultipartEncoder

from service.results import PersonSummary, Skipped, UploadedPhoto
from storage.fields import describe
from training.errors import TrainingError

TIMEOUT = 60  # seconds; the first request may include a cold start


class RemotePeople:
    """Sends requests to the API. Every method raises TrainingError."""

    def __init__(self, url: str, key: str, collection: str | None) -> None:
        """url: of the endpoint, with its stage; key: the administrator's."""
        self._url, self._collection = url.rstrip("/"), collection
        self._session = requests.Session()
        if key:
            self._session.headers["X-Api-Key"] = key.encode()  # requests refuses text outside of Latin-1

    def list(self) -> Sequence[PersonSummary]:
        found: list[PersonSummary] = []
        query: dict[str, Any] = {}
        while True:
            page = self._request("GET", "/people", params=query)
            with self._parsing():
                found += [_summary(person, person["faces"]) for person in page["people"]]
            if page.get("next") is None:
                return found
            query = {"after": page["next"]}

    def add(self, name: str, photos: Sequence[UploadedPhoto]) -> tuple[PersonSummary, Sequence[Skipped]]:
        if not photos:
            made = self._request("POST", "/people", json={"name": name})
        else:
            files = [("file", (Path(photo.file).name, photo.data)) for photo in photos]
            form = MultipartEncoder([("name", name), *files])
            made = self._request("POST", "/people", data=form, headers={"Content-Type": form.content_type})
        with self._parsing():
            skipped = [Skipped(photo["file"], photo["reason"]) for photo in made["skipped"]]
            return _summary(made, len(made["faces"])), skipped

    def rename(self, person_id: int, name: str) -> None:
        self._request("PATCH", f"/people/{person_id}", json={"name": name})

    def merge(self, person_id: int, into: int) -> None:
        self._request("PATCH", f"/people/{person_id}", json={"into": into})

    def delete(self, person_id: int) -> None:
        self._request("DELETE", f"/people/{person_id}")

    def _request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        if self._collection:
            options["params"] = {**options.get("params", {}), "collection": self._collection}
        try:
            response = self._session.request(method, self._url + path, timeout=TIMEOUT, **options)
            body: dict[str, Any] = response.json()
        except requests.RequestException as error:
            raise self._unexpected(type(error).__name__) from error
        with self._parsing():
            if response.ok:
                return dict(body)
            message = body["error"]["message"] if "error" in body else body["message"]  # of the service, or a gateway
        raise TrainingError(f"{method} {path}: {response.status_code}, {message}")

    @contextmanager
    def _parsing(self) -> Iterator[None]:
        """Convert errors of a body with other fields than the service's. Raises TrainingError."""
        try:
            yield
        except (KeyError, TypeError, ValueError) as error:
            raise self._unexpected(describe(error)) from error

    def _unexpected(self, found: str) -> TrainingError:
        return TrainingError(f"{self._url} does not answer as the service does: {found}.")


def _summary(person: dict[str, Any], faces: int) -> PersonSummary:
    return PersonSummary(person["id"], person["name"], person.get("external_id"), faces)
