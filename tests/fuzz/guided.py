"""Coverage-guided variant of tests/fuzz/fuzz.py: inputs that reach new code are mutated further.

    python -m tests.fuzz.guided events --runs 200000

libFuzzer (through atheris) generates the inputs, so a seed gives the same inputs only as long as the code does not
change. The first failing input is saved in tests/fuzz/regressions/ and ends the run.
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
    """Make an event. The first byte selects the content type, the second the encoding; the rest is the body."""
    kind, coding = data[0] % len(engine.CONTENT_TYPES), data[1] % 3
    body = data[2:]
    text = base64.b64encode(body).decode() if coding else body.decode("latin-1")
    return {"body": text, "isBase64Encoded": coding > 0, "headers": {"content-type": engine.CONTENT_TYPES[kind]}}


def fuzz_event(data: bytes) -> None:
    if len(data) > 2:
        _check(event_of(data), engine.check_event)


def fuzz_image(data: bytes) -> None:
    _check(data, engine.check_image)


def _check(case: Any, check: Callable[[Any], str | None]) -> None:
    wrong = check(case)
    if wrong:
        raise AssertionError(f"{wrong}, see {engine.save(case)}")


def corpus(kind: str, folder: Path) -> None:
    """Write the initial corpus."""
    seeds = list(engine.valid_images())
    if kind == "events":
        seeds = [bytes([i, 1]) + body for i in range(len(engine.CONTENT_TYPES)) for body in engine.BODIES]
    for number, seed in enumerate(seeds):
        (folder / str(number)).write_bytes(seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("events", "images"))
    parser.add_argument("--runs", type=int, default=100_000, metavar="N", help="inputs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="(default: %(default)s)")
    arguments = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="fuzz-")  # libFuzzer ends the process itself, so the folder cannot be removed
    corpus(arguments.kind, Path(folder))
    options = [f"-runs={arguments.runs}", f"-seed={arguments.seed}", "-max_len=20000", "-timeout=30", "-rss_limit_mb=0"]
    options += [f"-artifact_prefix={folder}/", "-print_final_stats=1", "-verbosity=0", folder]
    atheris.Setup([sys.argv[0], *options], fuzz_event if arguments.kind == "events" else fuzz_image)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
