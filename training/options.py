"""The commands of `python -m training` and their options."""

from __future__ import annotations

import argparse
import dataclasses
import os
from pathlib import Path
from typing import Any, NamedTuple

from model.crop import CropSpec
from storage.networks import BUNDLED, COLLECTION
from training.network.features import FP32, INT8, default_precision
from training.network.finetune import Recipe


class Command(NamedTuple):
    help: str
    required: tuple[str, ...]
    others: tuple[str, ...] = ()


RECIPE = tuple(f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(Recipe))
PREPARE = ("--data", "--source", "--people", "--min-images", "--val-share", "--seed")
COMMANDS = {
    "prepare": Command("photos -> who trains and who validates", ("--out",), PREPARE),
    "align": Command("photos -> crops of faces", ("--out",), ("--margin",)),
    "features": Command("crops -> features of the frozen trunk", ("--out",), ("--precision",)),
    "finetune": Command("features -> head", ("--out",), ("--precision", *RECIPE)),
    "evaluate": Command(
        "accuracy, open set and threshold, of a run or of a finished model",
        (),
        ("--out", "--precision", "--pairs", "--model", "--data", "--strangers"),
    ),
    "repeat": Command("the training again with other seeds", ("--out",), ("--precision", "--seeds")),
    "export": Command(
        "everything -> a network, its collection of people, and the report", ("--out",), ("--precision", "--collection")
    ),
    "stress": Command("the model on blurred, dark, rolled and hidden faces", ("--out",), ("--photos",)),
    "report": Command("report.html and report.json once more", ("--out",)),
    "compare": Command("two reports side by side", ("first", "second")),
    "all": Command(
        "prepare, align, features, finetune, evaluate, repeat, export and report",
        ("--out",),
        (*PREPARE, "--margin", "--precision", *RECIPE, "--pairs", "--seeds", "--collection"),
    ),
    "publish": Command("model -> S3", ("--to",), ("--out", "--model", "--dry-run")),
    "versions": Command("what is published in a folder or in S3", ("--model",)),
    "rollback": Command("serve an older version again", ("version", "--model")),
    "enrol": Command("add people to a finished model, without training", ("--people",), ("--model", "--out")),
}


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog="python -m training", description="Photos in, published model out.")
    commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True)
    options = _options()
    for name, command in COMMANDS.items():
        sub = commands.add_parser(name, help=command.help, description=command.help)
        for option in dict.fromkeys(command.required + command.others):
            # What has no dashes is required anyhow, and argparse forbids to say so.
            needed: dict[str, Any] = {"required": option in command.required} if option.startswith("--") else {}
            sub.add_argument(option, **needed, **options[option])
        if name == "enrol":
            sub.set_defaults(model=os.getenv("MODEL_URI") or BUNDLED, out=Path("models"))
    return root


def _options() -> dict[str, dict[str, Any]]:
    """Every option once, whichever commands take it."""
    options: dict[str, dict[str, Any]] = {
        "--data": {"type": Path, "metavar": "PATH", "help": "archive or folder of photos, a folder a person"},
        "--source": {"choices": ("lfw",), "help": "download this data set, or take it from the cache"},
        "--people": {
            "type": Path,
            "metavar": "DIR",
            "action": "append",
            "default": [],
            "help": "own photos, a folder a person; may be given several times",
        },
        "--out": {"type": Path, "metavar": "DIR", "help": "folder for what the steps leave"},
        "--seed": {"type": int, "default": 0, "help": "decides the split and the training (default: %(default)s)"},
        "--seeds": {
            "type": _positive,
            "default": 5,
            "help": "how many seeds, from the run's own on, the report is about (default: %(default)s)",
        },
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
        "--pairs": {"type": Path, "metavar": "FILE", "help": "LFW's pairs.txt: its verification protocol as well"},
        "--photos": {"type": _positive, "default": 600, "help": "how many val photos to take (default: %(default)s)"},
        "--model": {"metavar": "URI", "help": "folder or s3://bucket/prefix with latest.json"},
        "--strangers": {"type": Path, "metavar": "DIR", "help": "photos of people who are not in the model"},
        "--collection": {
            "type": _collection,
            "default": "people",
            "metavar": "NAME",
            "help": "name of the collection of the people trained on (default: %(default)s)",
        },
        "--to": {"metavar": "URI", "help": "s3://bucket/prefix"},
        "--dry-run": {"action": "store_true", "help": "check and say what would be done, and write nothing"},
        "version": {"metavar": "VERSION", "help": "as `versions` lists it"},
        "first": {"type": Path, "metavar": "A", "help": "folder of a training run, or a report.json"},
        "second": {"type": Path, "metavar": "B", "help": "the other one"},
    }
    for field in dataclasses.fields(Recipe):
        kind = _positive if field.type == "int" else float
        options[f"--{field.name.replace('_', '-')}"] = {
            "type": kind,
            "default": field.default,
            "help": "of SGD with StepLR (default: %(default)s)",
        }
    return options


def _collection(text: str) -> str:
    if not COLLECTION.fullmatch(text) or not text.strip("."):
        raise argparse.ArgumentTypeError(f"{text} is not 1 to 255 of the characters a-z, A-Z, 0-9, _, . and -")
    return text


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
