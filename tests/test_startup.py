"""The start of the function."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from startup import UNUSED
from storage.errors import NothingLoaded
from storage.live import LiveModel
from storage.networks import BUNDLED, POINTER
from storage.s3_settings import S3Settings
from testing.paths import ROOT

# A function that has answered two requests, in a process of its own, because modules are imported once.
SERVE = """
import handler, json, sys
from importlib.util import _LazyModule
from types import SimpleNamespace
from testing.events import upload
from testing.paths import SAMPLES

photo = (SAMPLES / "Kofi_Annan_0006.jpg").read_bytes()
for options in ({}, {"faces": "all"}):
    answer = handler.handle(upload(photo, **options), SimpleNamespace(aws_request_id="request-1"))
    assert json.loads(answer["body"])["predicted_name"] == "Kofi Annan", answer
"""


def run(code: str) -> str:
    """The last line that a program prints."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_serving_does_not_import_training() -> None:
    heavy = ["torchvision", "facenet_pytorch", "matplotlib", "training", "boto3", "requests", "tqdm"]
    heavy.append("aws_lambda_powertools.event_handler")
    assert run(f"{SERVE}print([name for name in {heavy} if name in sys.modules])") == "[]"


def test_no_request_needs_the_unused_modules() -> None:
    executed = f"[name for name in {UNUSED} if not isinstance(sys.modules[name], _LazyModule)]"
    assert run(f"{SERVE}print({executed})") == "[]"


def test_unused_modules_can_be_used_all_the_same() -> None:
    uses = "numpy.fft.fft([1.0])[0].real, numpy.ma.masked, torch.optim.SGD.__name__, torch.hub.HASH_REGEX.pattern"
    assert run(f"import handler, numpy, torch; print({uses})").startswith("1.0 -- SGD ")


def test_the_first_use_waits_for_the_model() -> None:
    live = LiveModel.at("", S3Settings)
    live.prefetch()
    assert live.get().version == json.loads((Path(BUNDLED) / POINTER).read_bytes())["version"]


def test_the_first_use_reports_a_model_that_cannot_be_loaded(tmp_path: Path) -> None:
    live = LiveModel.at(str(tmp_path / "missing"), S3Settings)
    live.prefetch()
    with pytest.raises(NothingLoaded):
        live.get()
