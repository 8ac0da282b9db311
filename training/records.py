"""The output folder of a training run: each step leaves files and a record, and is skipped while its inputs stay.

A record, `<step>.json`, is written last. It holds the inputs that the step was run with, the seconds it took and the
facts that it found. A later step takes the record's digest among its own inputs, so that a change upstream is repeated
downstream.
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

Record = dict  # inputs, seconds, facts


def packages() -> dict[str, str]:
    """The versions of those that decide the numbers."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "pillow": PIL.__version__,
    }


def digest(content: Any) -> str:
    """16 hex digits that stand for anything JSON can hold."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


class Run:
    """One output folder."""

    def __init__(self, out: Path) -> None:
        self.out = out
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrainingError(f"The output folder {out} cannot be made: {error.strerror}.") from error

    def step(self, name: str, inputs: dict[str, Any], files: list[str], work: Callable[[], dict[str, Any]]) -> Record:
        """Do `work`, which writes `files` and returns facts, unless that has been done from the same inputs."""
        inputs = json.loads(json.dumps(inputs))
        done = self._read(name)
        if done and done["inputs"] == inputs and all((self.out / file).exists() for file in files):
            log(f"{name}: unchanged, skipped")
            return done
        log(f"{name}: started")
        started = time.monotonic()
        facts = work()
        record = {"inputs": inputs, "seconds": round(time.monotonic() - started, 1), "facts": facts}
        write_json(self.out / f"{name}.json", record)
        log(f"{name}: done in {record['seconds']} s")
        return record

    def record(self, name: str) -> Record:
        """What an earlier step left. Raises TrainingError where it has not been run."""
        found = self._read(name)
        if found is None:
            raise TrainingError(f"{self.out} has no {name}.json: run `python -m training {name}` first.")
        return found

    def has(self, name: str) -> bool:
        return self._read(name) is not None

    def identity(self, name: str) -> str:
        """What later steps take among their inputs: changes when the step's inputs or its facts do."""
        record = self.record(name)
        return digest([record["inputs"], record["facts"]])

    def _read(self, name: str) -> Record | None:
        path = self.out / f"{name}.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return found if {"inputs", "seconds", "facts"} <= set(found) else None
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise TrainingError(f"{path} cannot be read ({error}): delete it to do the step again.") from error
