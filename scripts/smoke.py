"""Test a running endpoint: `make smoke URL=https://...`, or without URL the deployed one.

Sends a sample photo, or PHOTO, and prints the result of each step. Works with local endpoints, too. Exits with 1 if a
step fails.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Callable

import requests
from endpoint import EndpointError, add_options, selected_endpoint
from upload import post_photo

SAMPLE = Path(__file__).resolve().parent.parent / "web" / "samples" / "Kofi_Annan_0006.jpg"
SAMPLE_NAME = "Kofi Annan"
TIMEOUT = 60  # seconds; the first request may include a cold start
TIMED_REQUESTS = 5


class StepError(Exception):
    """A step failed; the message says what is wrong with the response."""


class Endpoint:
    """The steps of the test. Each returns a short text about what it found and raises StepError if it fails."""

    def __init__(self, url: str, key: str, photo: Path) -> None:
        self.url = url
        self.photo = photo
        self.session = requests.Session()
        if key:
            self.session.headers["x-api-key"] = key

    def request(self, status: int, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request. Raises StepError if the response has another status than this, or if there is none."""
        return self._checked(
            status,
            f"{method} {path}",
            lambda: self.session.request(method, self.url + path, timeout=TIMEOUT, **options),
        )

    def upload(self) -> requests.Response:
        """Send the photo to /classify. Raises StepError as `request` does."""
        return self._checked(
            200,
            "POST /classify",
            lambda: post_photo(self.session, f"{self.url}/classify", self.photo, {}, timeout=TIMEOUT),
        )

    def _checked(self, status: int, request: str, send: Callable[[], requests.Response]) -> requests.Response:
        try:
            response = send()
        except requests.RequestException as error:
            raise StepError(f"nothing answers at {self.url} ({type(error).__name__})") from error
        if response.status_code != status:
            raise StepError(f"{request} answers {response.status_code} instead of {status}: {response.text[:300]}")
        return response

    def health(self, version: str, wait: float) -> str:
        """version: the one to wait for, at most `wait` seconds, or empty for any."""
        deadline = time.monotonic() + wait
        while True:
            served = self.request(200, "GET", "/health").json()["model"]["version"]
            if not version or served == version:
                return f"serves {served}"
            if time.monotonic() > deadline:
                raise StepError(f"serves {served} and, after {wait:.0f} s, still not {version}")
            time.sleep(5)

    def people(self) -> str:
        body = self.request(200, "GET", "/people").json()
        if body["count"] != len(body["people"]) and "next" not in body:  # otherwise there are more
            raise StepError(f"counts {body['count']} people and lists {len(body['people'])}")
        return f"knows {body['count']} people"

    def classify(self) -> str:
        start = time.perf_counter()
        body = self.upload().json()
        seconds = time.perf_counter() - start
        name = body["predicted_name"]
        names = [person["name"] for person in self.request(200, "GET", "/people").json()["people"]]
        if self.photo == SAMPLE and SAMPLE_NAME in names and name != SAMPLE_NAME:
            raise StepError(f"identifies {SAMPLE_NAME} as {name or 'an unknown person'}")
        person = f"{name}, {body['confidence']:.1%}" if body["known"] else "unknown person"
        return f"{self.photo.name}: {person}, after {seconds:.2f} s"

    def raw(self) -> str:
        """Send the photo as the body of the request."""
        try:
            with self.photo.open("rb") as photo:
                self.request(200, "POST", "/classify", data=photo, headers={"Content-Type": "image/jpeg"})
        except StepError as error:
            raise StepError(f"{error}. Are the gateway's binary media types */*?") from error
        return "is accepted"

    def refuse(self) -> str:
        response = self.request(415, "POST", "/classify", files={"file": ("notes.txt", b"not a photo" * 20)})
        return f"refused: {response.json()['error']['message']}"

    def preflight(self) -> str:
        headers = {"Origin": "https://page.example", "Access-Control-Request-Method": "POST"}
        response = self.request(204, "OPTIONS", "/classify", headers=headers)
        allowed = response.headers.get("Access-Control-Allow-Origin")
        return f"pages of {allowed} may read the responses" if allowed else "other pages may not read the responses"

    def warm(self) -> str:
        times = []
        for _ in range(TIMED_REQUESTS):
            start = time.perf_counter()
            self.upload()
            times.append(1000 * (time.perf_counter() - start))
        return f"{statistics.median(times):.0f} ms round trip, median of {TIMED_REQUESTS}"


def run_steps(endpoint: Endpoint, version: str, wait: float) -> int:
    """Run the steps, print their results and return the number of failed ones. Stops if the first one fails."""
    steps: list[tuple[str, Callable[[], str]]] = [
        ("health", lambda: endpoint.health(version, wait)),
        ("people", endpoint.people),
        ("a photo", endpoint.classify),
        ("a raw photo", endpoint.raw),
        ("no photo", endpoint.refuse),
        ("a page", endpoint.preflight),
        ("warm", endpoint.warm),
    ]
    failed = 0
    for name, step in steps:
        try:
            print(f"  ok     {name:12} {step()}", flush=True)
        except (StepError, KeyError, ValueError) as error:
            print(f"  WRONG  {name:12} {error}", flush=True)
            failed += 1
            if name == "health":
                break
    return failed


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--photo", type=Path, default=os.environ.get("PHOTO") or SAMPLE)
    parser.add_argument("--version", default="", help="model version that must be served")
    parser.add_argument(
        "--wait",
        type=float,
        default=150,
        help="seconds to wait for it, because runtimes look for a new model once a minute (default: %(default)s)",
    )
    return parser.parse_args()


def main() -> int:
    options = parse_options()
    if not options.photo.is_file():
        print(f"smoke: there is no photo {options.photo}", file=sys.stderr)
        return 1
    try:
        url = selected_endpoint(options)
    except EndpointError as error:
        print(f"smoke: {error}", file=sys.stderr)
        return 1
    print(url)
    endpoint = Endpoint(url, os.environ.get("API_KEY", ""), options.photo)
    return 1 if run_steps(endpoint, options.version, options.wait) else 0


if __name__ == "__main__":
    sys.exit(main())
