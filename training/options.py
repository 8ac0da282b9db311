"""The commands of `python -m training` and their options."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any, Dict, NamedTuple

from model.crop import CropSpec
from settings import model_uri_from_env
from storage.networks import BUNDLED, COLLECTION
from training.network.features import FP32, INT8, default_precision
from training.network.finetune import Recipe

Options = Dict[str, Dict[str, Any]]  # by name: the arguments of argparse's add_argument


class Command(NamedTuple):
    """One command. required, optional: names of its options; a name without dashes is a positional argument."""

    help: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


RECIPE = tuple(f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(Recipe))
PREPARE = ("--data", "--source", "--people", "--min-images", "--val-share", "--seed")
COMMANDS = {
    "prepare": Command("split photos into training, validation and strangers", ("--out",), PREPARE),
    "align": Command("find and crop the face in each photo", ("--out",), ("--margin",)),
    "base": Command(
        "make MobileFaceNet, cohort and calibrations of the run itself, instead of those of the bundled model",
        ("--out", "--weights"),
        ("--precision",),
    ),
    "features": Command("run both networks on each crop", ("--out",), ("--precision",)),
    "finetune": Command("train the head on the features", ("--out",), ("--precision", *RECIPE)),
    "evaluate": Command(
        "measure the accuracy of a training run (--out), of a model with its people (--model, --data), or of a model "
        "with other people, by the size of the gallery (--people)",
        (),
        ("--out", "--precision", "--pairs", "--model", "--data", "--people", "--strangers"),
    ),
    "repeat": Command("repeat the training with other seeds", ("--out",), ("--precision", "--seeds")),
    "export": Command(
        "write the network, its collection of people, and the report", ("--out",), ("--precision", "--collection")
    ),
    "stress": Command("test the model on blurred, dark, rolled and covered faces", ("--out",), ("--photos",)),
    "report": Command("write report.html and report.json again", ("--out",)),
    "compare": Command("compare two reports", ("first", "second")),
    "all": Command(
        "run prepare, align, features, finetune, evaluate, repeat, export and report",
        ("--out",),
        (*PREPARE, "--margin", "--precision", *RECIPE, "--pairs", "--seeds", "--collection"),
    ),
    "publish": Command("publish a model to S3", ("--to",), ("--out", "--model", "--dry-run")),
    "versions": Command("list the versions in a folder or in S3", ("--model",)),
    "rollback": Command("serve an older version again", ("version", "--model")),
    "enrol": Command("add people to a finished model without training", ("--people",), ("--model", "--out", "--from")),
}


def parser() -> argparse.ArgumentParser:
    """Build the parser of the command line."""
    root = argparse.ArgumentParser(prog="python -m training", description="Train and publish face recognition models.")
    commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True)
    options: Options = {**_data_options(), **_training_options(), **_model_options(), **_recipe_options()}
    for name, command in COMMANDS.items():
        sub = commands.add_parser(name, help=command.help, description=command.help)
        for option in dict.fromkeys(command.required + command.optional):
            # argparse rejects `required` for positional arguments, which are always required.
            required: dict[str, Any] = {"required": option in command.required} if option.startswith("--") else {}
            sub.add_argument(option, **required, **options[option])
        if name == "enrol":
            sub.set_defaults(model=model_uri_from_env() or BUNDLED, out=Path("models"))
    return root


def _data_options() -> Options:
    return {
        "--data": {"type": Path, "metavar": "PATH", "help": "archive or folder of photos, with one folder per person"},
        "--source": {"choices": ("lfw",), "help": "download this data set, unless it is in the cache"},
        "--people": {
            "type": Path,
            "metavar": "DIR",
            "action": "append",
            "default": [],
            "help": "folder of your own photos, with one folder per person; can be given several times",
        },
        "--strangers": {"type": Path, "metavar": "DIR", "help": "photos of people who are never enrolled"},
        "--min-images": {
            "type": _positive,
            "default": 4,
            "help": "people with fewer photos are strangers (default: %(default)s)",
        },
        "--val-share": {
            "type": _share,
            "default": 0.3,
            "help": "share of each person's photos used for validation (default: %(default)s)",
        },
        "--weights": {"type": Path, "metavar": "FILE", "help": "MobileFaceNet's weights, an .npz file"},
        "--pairs": {"type": Path, "metavar": "FILE", "help": "LFW's pairs.txt, to run its verification protocol too"},
        "--photos": {
            "type": _positive,
            "default": 600,
            "help": "number of validation photos to use (default: %(default)s)",
        },
    }


def _training_options() -> Options:
    return {
        "--out": {"type": Path, "metavar": "DIR", "help": "output folder"},
        "--seed": {
            "type": int,
            "default": 0,
            "help": "seed of the split and of the training (default: %(default)s)",
        },
        "--seeds": {
            "type": _positive,
            "default": 5,
            "help": "number of seeds to train with, from the run's own upwards (default: %(default)s)",
        },
        "--margin": {
            "type": int,
            "default": CropSpec().margin,
            "help": "pixels around the face (default: %(default)s)",
        },
        "--precision": {
            "choices": (INT8, FP32),
            "default": default_precision(),
            "help": "precision of the backbone (default here: %(default)s)",
        },
    }


def _model_options() -> Options:
    return {
        "--model": {"metavar": "URI", "help": "folder or s3://bucket/prefix with latest.json"},
        "--collection": {
            "type": _collection,
            "default": "people",
            "metavar": "NAME",
            "help": "name of the collection of the people trained on (default: %(default)s)",
        },
        "--from": {
            "dest": "copy",
            "metavar": "NAME",
            "help": "begin with the people of this collection, which the model has (default: begin without people)",
        },
        "--to": {"metavar": "URI", "help": "s3://bucket/prefix"},
        "--dry-run": {"action": "store_true", "help": "check and show the changes without making them"},
        "version": {"metavar": "VERSION", "help": "a version listed by `versions`"},
        "first": {"type": Path, "metavar": "A", "help": "folder of a training run, or a report.json"},
        "second": {"type": Path, "metavar": "B", "help": "the one to compare with A"},
    }


def _recipe_options() -> Options:
    return {
        name: {
            "type": _positive if field.type == "int" else float,
            "default": field.default,
            "help": f"{field.metadata['help']} (default: %(default)s)",
        }
        for name, field in zip(RECIPE, dataclasses.fields(Recipe))
    }


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
