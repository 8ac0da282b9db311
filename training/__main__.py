"""python -m training COMMAND: photos in, published model out."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, Callable

from model.errors import ModelUnavailable
from model.faces import CropSpec
from model.recognizer import BUNDLED
from training.align import align
from training.enrol import enrol
from training.evaluate import evaluate, evaluate_model
from training.export import export, require_serving_torch
from training.features import FP32, INT8, default_precision, features
from training.finetune import Recipe, finetune
from training.prepare import prepare
from training.publish import publish
from training.steps import Run, TrainingError, say

Arguments = argparse.Namespace


def _prepare(a: Arguments) -> None:
    prepare(Run(a.out), a.data, a.people, a.min_images, a.val_share, a.seed)


def _align(a: Arguments) -> None:
    align(Run(a.out), CropSpec(margin=a.margin))


def _features(a: Arguments) -> None:
    features(Run(a.out), a.precision, a.seed)


def _finetune(a: Arguments) -> None:
    recipe = Recipe(**{field.name: getattr(a, field.name) for field in dataclasses.fields(Recipe)})
    finetune(Run(a.out), a.precision, recipe, a.seed)


def _evaluate(a: Arguments) -> None:
    if a.model:
        if not a.data:
            raise TrainingError("evaluate --model needs --data, a folder of photos, a folder a person.")
        print(json.dumps(evaluate_model(a.model, a.data, a.strangers), indent=1))
    elif a.out:
        run = Run(a.out)
        evaluate(run, a.precision)
        print(json.dumps(run.record("evaluate")["facts"], indent=1))
    else:
        raise TrainingError("evaluate needs --out, the folder of a training run, or --model and --data.")


def _export(a: Arguments) -> None:
    require_serving_torch()
    run = Run(a.out)
    # Trained elsewhere, say on a GPU: the features that serve are still to be made. Otherwise both are skipped.
    features(run, a.precision, a.seed)
    evaluate(run, a.precision)
    export(run, a.precision)


def _publish(a: Arguments) -> None:
    if not (a.model or a.out):
        raise TrainingError("publish needs --model, a folder with latest.json, or --out, the folder of a training run.")
    publish(a.model or a.out / "model", a.to)


def _enrol(a: Arguments) -> None:
    enrol(a.people, a.model, a.out)


def _all(a: Arguments) -> None:
    require_serving_torch()
    for step in (_prepare, _align, _features, _finetune, _export):
        step(a)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return number


def _options() -> dict[str, dict[str, Any]]:
    """Every option once, whichever commands take it."""
    options: dict[str, dict[str, Any]] = {
        "--data": {"type": Path, "metavar": "PATH", "help": "archive or folder of photos, a folder a person"},
        "--people": {"type": Path, "metavar": "DIR", "help": "own photos, a folder a person"},
        "--out": {"type": Path, "metavar": "DIR", "help": "folder for what the steps leave"},
        "--seed": {"type": int, "default": 0, "help": "decides the split and the training (default: %(default)s)"},
        "--min-images": {
            "type": _positive,
            "default": 4,
            "help": "people with fewer photos are strangers (default: %(default)s)",
        },
        "--val-share": {
            "type": _share,
            "default": 0.3,
            "help": "share of each person's photos to validate with (default: %(default)s)",
        },
        "--margin": {
            "type": int,
            "default": CropSpec().margin,
            "help": "pixels around the face (default: %(default)s)",
        },
        "--precision": {
            "choices": (INT8, FP32),
            "default": default_precision(),
            "help": "of the trunk (default here: %(default)s)",
        },
        "--model": {"metavar": "URI", "help": "folder or s3://bucket/prefix with latest.json"},
        "--strangers": {"type": Path, "metavar": "DIR", "help": "photos of people who are not in the model"},
        "--to": {"metavar": "URI", "help": "s3://bucket/prefix"},
    }
    for field in dataclasses.fields(Recipe):
        kind = _positive if field.type == "int" else float
        options[f"--{field.name.replace('_', '-')}"] = {
            "type": kind,
            "default": field.default,
            "help": "of SGD with StepLR (default: %(default)s)",
        }
    return options


RECIPE = tuple(f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(Recipe))
PREPARE = ("--data", "--people", "--min-images", "--val-share", "--seed")
COMMANDS: dict[str, tuple[Callable[[Arguments], None], str, tuple[str, ...], tuple[str, ...]]] = {
    # name: function, help, required options, other options
    "prepare": (_prepare, "photos -> who trains and who validates", ("--data", "--out"), PREPARE),
    "align": (_align, "photos -> crops of faces", ("--out",), ("--margin",)),
    "features": (_features, "crops -> features of the frozen trunk", ("--out",), ("--precision", "--seed")),
    "finetune": (_finetune, "features -> head, with curves", ("--out",), ("--precision", "--seed", *RECIPE)),
    "evaluate": (
        _evaluate,
        "accuracy, open set and threshold, of a run or of a finished model",
        (),
        ("--out", "--precision", "--model", "--data", "--strangers"),
    ),
    "export": (_export, "everything -> one TorchScript file and report.json", ("--out",), ("--precision", "--seed")),
    "publish": (_publish, "model -> S3", ("--to",), ("--out", "--model")),
    "all": (
        _all,
        "prepare, align, features, finetune, evaluate and export",
        ("--data", "--out"),
        (*PREPARE, "--margin", "--precision", *RECIPE),
    ),
    "enrol": (_enrol, "add people to a finished model, without training", ("--people",), ("--model", "--out")),
}


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True)
    options = _options()
    for name, (function, text, required, others) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        for option in dict.fromkeys(required + others):
            command.add_argument(option, required=option in required, **options[option])
        command.set_defaults(function=function)
        if name == "enrol":
            command.set_defaults(model=os.getenv("MODEL_URI") or BUNDLED, out=Path("models"))
        if name == "publish":
            command.set_defaults(model=None)
    return root


def main(argv: list[str] | None = None) -> int:
    """0: done; 1: something that the message says; 2: wrong options; 130: interrupted."""
    arguments = parser().parse_args(argv)
    # A shell that starts this in the background has it ignore Ctrl-C, and so would the cleaning up.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        arguments.function(arguments)
    except (TrainingError, ModelUnavailable) as error:
        say(f"error: {error}")
        return 1
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        say(f"error: {error.strerror or error}{where}. What is finished is kept; the next run goes on from there.")
        return 1
    except KeyboardInterrupt:
        say("interrupted. What is finished is kept; the next run goes on from there.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
