"""The same as tests/fuzz/fuzz.py with inputs that are led by coverage: those that reach new code are varied further.

    python -m tests.fuzz.guided events --runs 200000

libFuzzer (by atheris) makes them, so a seed gives the same inputs only as long as the code stays. What goes wrong is
written to tests/fuzz/regressions/ and ends it.
"""

from __future__ import annotations

import argparse
import base64
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable

import atheris

with atheris.instrument_imports(include=["api", "model", "PIL", "multipart"], enable_loader_override=False):
    from tests.fuzz import engine


def event_of(data: bytes) -> dict[str, Any]:
    """The first byte chooses the header, the second the coding of the body, which is the rest."""
    kind, coding = data[0] % len(engine.CONTENT_TYPES), data[1] % 3
    body = data[2:]
    text = base64.b64encode(body).decode() if coding else body.decode("latin-1")
    return {"body": text, "isBase64Encoded": coding > 0, "headers": {"content-type": engine.CONTENT_TYPES[kind]}}


def look_at_event(data: bytes) -> None:
    if len(data) > 2:
        _look(event_of(data), engine.judge_event)


def look_at_image(data: bytes) -> None:
    _look(data, engine.judge_image)


def _look(case: Any, judge: Callable[[Any], str | None]) -> None:
    wrong = judge(case)
    if wrong:
        raise AssertionError(f"{wrong}, see {engine.save(case)}")


def corpus(kind: str, folder: Path) -> None:
    """What it begins with."""
    seeds = list(engine.sound_images())
    if kind == "events":
        seeds = [bytes([i, 1]) + body for i in range(len(engine.CONTENT_TYPES)) for body in engine.BODIES]
    for number, seed in enumerate(seeds):
        (folder / str(number)).write_bytes(seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("events", "images"))
    parser.add_argument("--runs", type=int, default=100_000, metavar="N", help="inputs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="(default: %(default)s)")
    asked = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="fuzz-")  # libFuzzer ends the process itself, so nothing is there to remove it
    corpus(asked.kind, Path(folder))
    options = [f"-runs={asked.runs}", f"-seed={asked.seed}", "-max_len=20000", "-timeout=30", "-rss_limit_mb=0"]
    options += [f"-artifact_prefix={folder}/", "-print_final_stats=1", "-verbosity=0", folder]
    atheris.Setup([sys.argv[0], *options], look_at_event if asked.kind == "events" else look_at_image)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
