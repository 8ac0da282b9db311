"""The start of the function."""

from __future__ import annotations

import subprocess
import sys

from startup import UNUSED
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


def test_garbage_is_collected_once_the_app_is_there() -> None:
    assert run("import handler, gc; print(gc.isenabled(), gc.get_freeze_count() > 10_000)") == "True True"
