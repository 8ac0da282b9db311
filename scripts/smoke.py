"""Does an endpoint do what it should? `make smoke URL=https://...`, local ones too, and without URL the one deployed.

Sends the samples of web/samples, or PHOTO, and says what came back. Ends with 1 if anything is wrong.
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
from endpoint import NoEndpoint, add_options, chosen

SAMPLE = Path(__file__).resolve().parent.parent / "web" / "samples" / "Kofi_Annan_0006.jpg"
SAMPLE_NAME = "Kofi Annan"
COLD = 60  # seconds: the first request may wait for a cold start
WARM = 5  # requests that are timed


class Wrong(Exception):
    """With a sentence about what came back."""


class Endpoint:
    def __init__(self, url: str, key: str, photo: Path) -> None:
        self.url = url
        self.photo = photo
        self.session = requests.Session()
        if key:
            self.session.headers["x-api-key"] = key

    def ask(self, status: int, method: str, path: str, **more: Any) -> requests.Response:
        """Raises Wrong if the answer has another status."""
        try:
            reply = self.session.request(method, self.url + path, timeout=COLD, **more)
        except requests.RequestException as error:
            raise Wrong(f"nothing answers at {self.url} ({type(error).__name__})") from error
        if reply.status_code != status:
            raise Wrong(f"{method} {path} answers {reply.status_code} instead of {status}: {reply.text[:300]}")
        return reply

    def health(self, version: str, wait: float) -> str:
        """version: that has to be served after `wait` seconds at most, or empty."""
        deadline = time.monotonic() + wait
        while True:
            found = self.ask(200, "GET", "/health").json()["model"]["version"]
            if not version or found == version:
                return f"serves {found}"
            if time.monotonic() > deadline:
                raise Wrong(f"serves {found} and, after {wait:.0f} s, still not {version}")
            time.sleep(5)

    def people(self) -> str:
        found = self.ask(200, "GET", "/people").json()
        if found["count"] != len(found["people"]):
            raise Wrong(f"counts {found['count']} people and lists {len(found['people'])}")
        return f"knows {found['count']} people"

    def classify(self) -> str:
        start = time.perf_counter()
        answer = self.ask(200, "POST", "/classify", files={"file": self.photo.open("rb")}).json()
        seconds = time.perf_counter() - start
        name = answer["predicted_name"]
        names = [person["name"] for person in self.ask(200, "GET", "/people").json()["people"]]
        if self.photo == SAMPLE and SAMPLE_NAME in names and name != SAMPLE_NAME:
            raise Wrong(f"takes {SAMPLE_NAME} for {name or 'nobody it knows'}")
        who = f"{name}, {answer['confidence']:.1%}" if answer["known"] else "somebody it does not know"
        return f"{self.photo.name}: {who}, after {seconds:.2f} s"

    def raw(self) -> str:
        """Only behind API Gateway: serverless-offline hands on no raw images as bytes."""
        if "//localhost" in self.url:
            return "not tried: serverless-offline cannot"
        try:
            self.ask(200, "POST", "/classify", data=self.photo.read_bytes(), headers={"Content-Type": "image/jpeg"})
        except Wrong as error:
            raise Wrong(f"{error}. Are the gateway's binary media types */*?") from error
        return "is taken, too"

    def refuse(self) -> str:
        reply = self.ask(415, "POST", "/classify", files={"file": ("notes.txt", b"not a photo" * 20)})
        return f"refused: {reply.json()['error']['message']}"

    def preflight(self) -> str:
        headers = {"Origin": "https://page.example", "Access-Control-Request-Method": "POST"}
        allowed = self.ask(204, "OPTIONS", "/classify", headers=headers).headers.get("Access-Control-Allow-Origin")
        return f"pages of {allowed} may read the answers" if allowed else "pages elsewhere may not read the answers"

    def warm(self) -> str:
        times = []
        for _ in range(WARM):
            start = time.perf_counter()
            self.ask(200, "POST", "/classify", files={"file": self.photo.open("rb")})
            times.append(1000 * (time.perf_counter() - start))
        return f"{statistics.median(times):.0f} ms from here and back, median of {WARM}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--photo", type=Path, default=os.environ.get("PHOTO") or SAMPLE)
    parser.add_argument("--version", default="", help="that has to be served")
    parser.add_argument(
        "--wait", type=float, default=150, help="seconds for it: it is looked for once a minute (default: %(default)s)"
    )
    options = parser.parse_args()
    if not options.photo.is_file():
        print(f"smoke: there is no photo {options.photo}", file=sys.stderr)
        return 1
    try:
        url = chosen(options)
    except NoEndpoint as error:
        print(f"smoke: {error}", file=sys.stderr)
        return 1
    endpoint = Endpoint(url, os.environ.get("API_KEY", ""), options.photo)
    steps: list[tuple[str, Callable[[], str]]] = [
        ("health", lambda: endpoint.health(options.version, options.wait)),
        ("people", endpoint.people),
        ("a photo", endpoint.classify),
        ("a raw photo", endpoint.raw),
        ("no photo", endpoint.refuse),
        ("a page", endpoint.preflight),
        ("warm", endpoint.warm),
    ]
    print(url)
    wrong = 0
    for name, step in steps:
        try:
            print(f"  ok     {name:12} {step()}", flush=True)
        except (Wrong, KeyError, ValueError) as error:
            print(f"  WRONG  {name:12} {error}", flush=True)
            wrong += 1
            if name == "health":
                break
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
