"""The output folder of a training run. A step is skipped if it has been run with the same inputs.

Each step writes its files first and then its record, `<step>.json`: the inputs it was run with, the seconds it took and
the facts it found. A later step takes the record's digest among its own inputs, so a change is repeated in all steps
that depend on it. Their records are removed at once, because a report shows all steps that have a record.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch

from training.atomic_files import write_json
from training.errors import TrainingError, log

Record = dict  # keys: inputs, seconds, facts


def packages() -> dict[str, str]:
    """Return the versions of Python and of the packages that influence the results."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "pillow": PIL.__version__,
    }


def digest(content: Any) -> str:
    """Return the first 16 hex digits of the SHA-256 of anything JSON can hold."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


class Run:
    """One output folder with the files and records of its steps."""

    def __init__(self, out: Path) -> None:
        """Create the folder if it does not exist. Raises TrainingError."""
        self.out = out
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrainingError(f"The output folder {out} cannot be created: {error.strerror}.") from error

    def step(self, name: str, inputs: dict[str, Any], files: list[str], work: Callable[[], dict[str, Any]]) -> Record:
        """Run a step, unless its record has the same inputs and its files exist, and return the record.

        inputs: JSON. files: names in the folder that `work` writes. work: does the step and returns the facts.

        Raises TrainingError if the record cannot be read, OSError if it cannot be written, and any error of `work`.
        """
        inputs = json.loads(json.dumps(inputs))  # tuples become lists, as in the record
        done = self._read(name)
        if done and done["inputs"] == inputs and all((self.out / file).exists() for file in files):
            log(f"{name}: unchanged, skipped")
            return done
        log(f"{name}: started")
        started = time.monotonic()
        facts = work()
        record = {"inputs": inputs, "seconds": round(time.monotonic() - started, 1), "facts": facts}
        if done and _identity(done) != _identity(record):
            self._discard_after(_identity(done))
        write_json(self.out / f"{name}.json", record)
        log(f"{name}: done in {record['seconds']} s")
        return record

    def record(self, name: str) -> Record:
        """Return the record of a step that has been run. Raises TrainingError if it has not."""
        found = self._read(name)
        if found is None:
            # One command runs the steps features-PRECISION and mobile, every other step has its own.
            command = "features" if name == "mobile" else name.replace("-", " --precision ")
            raise TrainingError(f"{self.out} has no {name}.json: run `python -m training {command}` first.")
        return found

    def has(self, name: str) -> bool:
        """Return True if a step has been run. Raises TrainingError if its record cannot be read."""
        return self._read(name) is not None

    def identity(self, name: str) -> str:
        """Return a digest of a step's inputs and facts, for the inputs of later steps. Raises TrainingError."""
        return _identity(self.record(name))

    def _discard_after(self, identity: str) -> None:
        """Remove the records of the steps that took this digest as an input, and of the steps after them."""
        for path in self.out.glob("*.json"):
            found = self._read(path.stem)
            if found and identity in found["inputs"].values():
                path.unlink()
                self._discard_after(_identity(found))

    def _read(self, name: str) -> Record | None:
        path = self.out / f"{name}.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return found if {"inputs", "seconds", "facts"} <= set(found) else None
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise TrainingError(f"{path} cannot be read ({error}): delete it to run the step again.") from error


def _identity(record: Record) -> str:
    return digest([record["inputs"], record["facts"]])
