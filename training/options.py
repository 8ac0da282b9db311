"""The commands of `python -m training` and their options."""

from __future__ import annotations

import argparse
import codecs
import dataclasses
from pathlib import Path
from typing import Any, Dict, NamedTuple

from model.crop import CropSpec
from service.names import clean
from settings import admin_key_from_env, gallery_uri_from_env, model_uri_from_env
from storage.collection_names import RULE, is_collection_name
from storage.networks import BUNDLED
from training.network.features import FP32, INT8, default_precision
from training.network.finetune import Recipe

Options = Dict[str, Dict[str, Any]]  # by name: the arguments of argparse's add_argument


class Command(NamedTuple):
    """One command. required, optional: names of its options; a name without dashes is a positional argument."""

    help: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


RECIPE = tuple(f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(Recipe))
READING = ("--level", "--strict")
PREPARE = (
    *("--data", "--source", "--people", "--collection", "--galleries", "--min-images", "--val-share", "--seed"),
    *(*READING, "--zip-encoding"),
)
COMMANDS = {
    "prepare": Command("split photos into training, validation and strangers", ("--out",), PREPARE),
    "align": Command("find and crop the face in each photo", ("--out",), ("--margin", "--strict")),
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
        ("--out", "--precision", "--pairs", "--model", "--data", "--people", "--strangers", *READING),
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
        (*PREPARE, "--margin", "--precision", *RECIPE, "--pairs", "--seeds"),
    ),
    "publish": Command("publish a model to S3", ("--to",), ("--out", "--model", "--dry-run")),
    "versions": Command("list the versions in a folder or in S3", ("--model",)),
    "rollback": Command("serve an older version again", ("version", "--model")),
    "enrol": Command(
        "add people to a collection without training",
        ("--people",),
        ("--collection", "--galleries", "--model", "--from", *READING, "--dry-run"),
    ),
    "people": Command("manage the people of a collection", ()),
    "database": Command(
        "create the tables for collections in a PostgreSQL database with pgvector, unless they are there",
        (),
        ("--galleries", "--role"),
    ),
}
# Actions of the command `people`. All take PLACE as well.
ACTIONS = {
    "list": Command("list the people: ID, number of faces, name", ()),
    "add": Command("add a person with photos", ("name", "photos")),
    "rename": Command("rename a person", ("id", "name")),
    "merge": Command("move all faces of a person to another one, who remains", ("id", "into")),
    "delete": Command("delete a person with all faces", ("id",)),
    "reembed": Command(
        "compute the embeddings anew, for the networks of the model, from stored crops (KEEP_CROPS)", ()
    ),
    "index": Command("cluster the people of a large collection, so that it is searched faster", ()),
    "export": Command("write the collection, or one person of it, to a file", ("file",), ("--person",)),
    "import": Command("begin a collection with the content of such a file", ("file",)),
}
PLACE = ("--collection", "--galleries", "--model", "--url", "--key")
MAX_SEED = 2**31  # numpy takes up to twice as much, and `repeat` counts upwards
GALLERIES = "galleries"  # folder of collections that can change, unless GALLERY_URI is set


def parser() -> argparse.ArgumentParser:
    """Build the parser of the command line."""
    root = argparse.ArgumentParser(prog="python -m training", description="Train and publish face recognition models.")
    commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True)
    options: Options = {**_data_options(), **_training_options(), **_model_options(), **_recipe_options()}
    for name, command in COMMANDS.items():
        sub = _add(commands, name, command, options)
        if "--galleries" in command.optional or name == "people":
            sub.set_defaults(**_places())
        if name == "people":
            actions = sub.add_subparsers(dest="action", metavar="ACTION", required=True)
            for action, details in ACTIONS.items():
                takes = Command(details.help, details.required, (*details.optional, *PLACE))
                _add(actions, action, takes, {**options, **_people_options()}).set_defaults(**_places())
    return root


def _add(commands: Any, name: str, command: Command, options: Options) -> argparse.ArgumentParser:
    """Add a command to argparse's commands."""
    sub: argparse.ArgumentParser = commands.add_parser(name, help=command.help, description=command.help)
    for option in dict.fromkeys(command.required + command.optional):
        # argparse rejects `required` for positional arguments, which are always required.
        required: dict[str, Any] = {"required": option in command.required} if option.startswith("--") else {}
        sub.add_argument(option, **required, **options[option])
    return sub


def _places() -> dict[str, Any]:
    """Defaults of commands that change collections."""
    return {
        "model": model_uri_from_env() or BUNDLED,
        "galleries": gallery_uri_from_env() or GALLERIES,
        "collection": None,
    }


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
        "--level": {
            "type": _positive,
            "metavar": "N",
            "help": "level of the people's folders: 1 if they are directly in the folder given, 2 in folders such as "
            "train and test (default: 1, if the names of the folders leave no doubt)",
        },
        "--zip-encoding": {
            "type": _encoding,
            "metavar": "NAME",
            "help": "encoding of names in an archive that are not UTF-8, such as cp437, cp850, cp1252 or shift_jis",
        },
        "--strict": {"action": "store_true", "help": "a file that is skipped is an error"},
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
            "type": _seed,
            "default": 0,
            "help": "seed of the split and of the training (default: %(default)s)",
        },
        "--seeds": {
            "type": _positive,
            "default": 5,
            "help": "number of seeds to train with, from the run's own upwards (default: %(default)s)",
        },
        "--margin": {
            "type": _margin,
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
            "metavar": "NAME",
            "help": "name of the collection (default: people, of export: trained). Without photos, its crops are used",
        },
        "--from": {
            "dest": "copy",
            "metavar": "NAME",
            "help": "begin a new collection with the people of this one, such as lfw (default: begin without people)",
        },
        "--galleries": {
            "metavar": "URI",
            "help": "folder, s3://bucket/prefix or postgresql://user@host/database of collections (default: "
            f"GALLERY_URI, or {GALLERIES})",
        },
        "--role": {
            "metavar": "NAME",
            "help": "role of the service in the database, which gets the rights that it needs",
        },
        "--to": {"metavar": "URI", "help": "s3://bucket/prefix"},
        "--dry-run": {"action": "store_true", "help": "check and show the changes without making them"},
        "version": {"metavar": "VERSION", "help": "a version listed by `versions`"},
        "first": {"type": Path, "metavar": "A", "help": "folder of a training run, or a report.json"},
        "second": {"type": Path, "metavar": "B", "help": "the one to compare with A"},
    }


def _people_options() -> Options:
    return {
        "--url": {"metavar": "URL", "help": "running endpoint, instead of the place of the collections"},
        "--key": {
            "metavar": "KEY",
            "default": admin_key_from_env(),
            "help": "the endpoint's administrator key (default: ADMIN_KEY)",
        },
        "--person": {"type": int, "metavar": "ID", "help": "ID of one person"},
        "id": {"type": int, "metavar": "ID", "help": "ID of the person"},
        "into": {"type": int, "metavar": "INTO", "help": "ID of the person who remains"},
        "name": {"type": _name, "metavar": "NAME", "help": "name of the person"},
        "photos": {"type": Path, "metavar": "PHOTO", "nargs": "*", "help": "photos of the person"},
        "file": {"type": Path, "metavar": "FILE", "help": "file of a collection"},
    }


def _name(text: str) -> str:
    try:
        return clean(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


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
    if not is_collection_name(text):
        raise argparse.ArgumentTypeError(f"{text} is not {RULE}")
    return text


def _encoding(text: str) -> str:
    try:
        return codecs.lookup(text).name
    except LookupError as error:
        raise argparse.ArgumentTypeError(f"{text} is not an encoding that Python knows") from error


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def _seed(text: str) -> int:
    return _from_zero(text, MAX_SEED)


def _margin(text: str) -> int:
    return _from_zero(text, CropSpec().size - 1)


def _from_zero(text: str, highest: int) -> int:
    number = int(text)
    if not 0 <= number <= highest:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and {highest}")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return number
