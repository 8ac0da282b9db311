"""python -m training COMMAND: photos in, published model out."""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # Ctrl-C while the libraries load ends the process without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from model.crop import CropSpec
from settings import download_folder_from_env, limit_convolution_cache, model_uri_from_env
from storage.errors import StorageError
from storage.networks import BUNDLED
from training.data.align import align, aligned
from training.data.download import lfw
from training.data.prepare import Layout, prepare, prepared
from training.errors import TrainingError, log
from training.evaluation.compare import compare
from training.evaluation.evaluate import evaluate
from training.evaluation.evaluate_model import evaluate_model
from training.evaluation.evaluate_people import evaluate_people
from training.evaluation.repeat import repeat, spread
from training.evaluation.report import write_report
from training.evaluation.robustness import measure_robustness
from training.evaluation.verify import verify
from training.network.base import load_base
from training.network.features import features, mobile_embeddings
from training.network.finetune import Recipe, finetune
from training.options import parser
from training.publishing.backup import read_backup, reembed_collection, write_backup
from training.publishing.base import make_base
from training.publishing.collections import Access
from training.publishing.enrol import enrol
from training.publishing.export import export, require_serving_torch
from training.publishing.index import build_index
from training.publishing.people import People, StoredPeople, add_person
from training.publishing.people import table as people_table
from training.publishing.publish import publish
from training.publishing.stored_crops import write_stored_crops
from training.publishing.versions import rollback, table, versions
from training.records import Run

Arguments = argparse.Namespace
TRAINED = "trained"  # name of the collection that export writes, unless it is given


def _data(a: Arguments) -> Path | None:
    if a.source and a.data:
        raise TrainingError("Give --source or --data, not both.")
    if not (a.source or a.data or a.people):
        raise TrainingError("prepare needs photos: --data, --source lfw, --people, or --collection with stored crops.")
    return lfw(download_folder_from_env()) if a.source else a.data


def _prepare(a: Arguments) -> None:
    if a.collection and not (a.source or a.data or a.people):
        a.people = [write_stored_crops(Access(a.galleries, a.model), a.collection, a.out / "stored-crops")]
    run = Run(a.out)
    prepare(run, _data(a), a.people, a.min_images, a.val_share, a.seed, Layout(a.level, a.zip_encoding))
    prepared(run).finish(a.strict)


def _seed(run: Run) -> int:
    """Return the seed of `prepare`, which all later steps use."""
    return run.record("prepare")["inputs"]["seed"]


def _align(a: Arguments) -> None:
    run = Run(a.out)
    align(run, CropSpec(margin=a.margin))
    aligned(run).finish(a.strict)


def _features(a: Arguments) -> None:
    run = Run(a.out)
    features(run, a.precision, _seed(run))
    mobile_embeddings(run, load_base(run).mobile_weights)


def _base(a: Arguments) -> None:
    run = Run(a.out)
    make_base(run, a.precision, _seed(run), a.weights)


def _finetune(a: Arguments) -> None:
    recipe = Recipe(**{field.name: getattr(a, field.name) for field in dataclasses.fields(Recipe)})
    run = Run(a.out)
    finetune(run, a.precision, recipe, _seed(run))


def _measure(a: Arguments) -> str:
    run = Run(a.out)
    evaluate(run, a.precision)
    if a.pairs:
        verify(run, a.precision, a.pairs)
    return _json({step: run.record(step)["facts"] for step in ("evaluate", "verify") if run.has(step)})


def _evaluate(a: Arguments) -> str:
    if a.people:
        uri = a.model or model_uri_from_env() or BUNDLED
        return evaluate_people(uri, a.people, a.strangers, level=a.level, strict=a.strict)
    if a.model and not a.data:
        raise TrainingError("evaluate --model needs --data or --people, with one folder of photos per person.")
    if a.model:
        return _json(evaluate_model(a.model, a.data, a.strangers, level=a.level, strict=a.strict))
    if a.out:
        return _measure(a)
    raise TrainingError("evaluate needs --out, the folder of a training run, or --model and --data, or --people.")


def _repeat(a: Arguments) -> str:
    run = Run(a.out)
    repeat(run, a.precision, a.seeds)
    return _json(spread(run.record("repeat")["facts"]["runs"]))


def _export(a: Arguments) -> None:
    require_serving_torch()
    run = Run(a.out)
    # After training elsewhere, for example on a GPU, the serving features are missing. Else both steps are skipped.
    _features(a)
    evaluate(run, a.precision)
    export(run, a.precision, a.collection or TRAINED)
    _report(a)


def _report(a: Arguments) -> None:
    write_report(Run(a.out))
    log(f"report.html and report.json are in {a.out}")


def _all(a: Arguments) -> None:
    require_serving_torch()
    for step in (_prepare, _align, _features, _finetune, _measure, _repeat, _export):
        step(a)
    log(aligned(Run(a.out)).table())


def _stress(a: Arguments) -> str:
    run = Run(a.out)
    measure_robustness(run, a.photos)
    return _json(run.record("stress")["facts"])


def _compare(a: Arguments) -> str:
    return compare(a.first, a.second)


def _publish(a: Arguments) -> None:
    if not (a.model or a.out):
        raise TrainingError("publish needs --model, a folder with latest.json, or --out, the folder of a training run.")
    publish(Path(a.model or a.out / "model"), a.to, a.dry_run)


def _versions(a: Arguments) -> str:
    return table(versions(a.model))


def _rollback(a: Arguments) -> None:
    rollback(a.model, a.version)


def _enrol(a: Arguments) -> None:
    access = Access(a.galleries, a.model, a.collection)
    enrol(a.people, access, a.copy, level=a.level, strict=a.strict, dry_run=a.dry_run)


def _people(a: Arguments) -> str | None:
    if a.action in ("export", "import", "reembed", "index"):
        if a.url:
            raise TrainingError("An endpoint neither gives embeddings away nor takes them: use --galleries instead.")
        _whole_collection(a)
        return None
    # Imported here because training elsewhere, as in Colab, needs no requests-toolbelt.
    from training.publishing.remote import RemotePeople

    people: People = (
        RemotePeople(a.url, a.key, a.collection) if a.url else StoredPeople(Access(a.galleries, a.model), a.collection)
    )
    if a.action == "list":
        return people_table(people.list())
    if a.action == "add":
        add_person(people, a.name, a.photos)
    elif a.action == "rename":
        people.rename(a.id, a.name)
    elif a.action == "merge":
        people.merge(a.id, a.into)
    else:
        people.delete(a.id)
    return None


def _whole_collection(a: Arguments) -> None:
    access = Access(a.galleries, a.model)
    if a.action == "export":
        count = write_backup(access, a.collection, a.file, a.person)
        log(f"{a.file} holds {count} people: names and biometric data")
    elif a.action == "reembed":
        log(f"{reembed_collection(access, a.collection)} faces have new embeddings")
    elif a.action == "index":
        build_index(access, a.collection)
    else:
        log(f"{read_backup(access, a.collection, a.file)} people imported")


def _database(a: Arguments) -> None:
    # Imported here because training elsewhere, as in Colab, needs no driver.
    from training.publishing.database import create_database

    create_database(a.galleries, a.role)


def _json(facts: Any) -> str:
    return json.dumps(facts, indent=1)


FUNCTIONS: dict[str, Callable[[Arguments], str | None]] = {  # -> text to print
    "prepare": _prepare,
    "align": _align,
    "base": _base,
    "features": _features,
    "finetune": _finetune,
    "evaluate": _evaluate,
    "repeat": _repeat,
    "export": _export,
    "report": _report,
    "all": _all,
    "stress": _stress,
    "compare": _compare,
    "publish": _publish,
    "versions": _versions,
    "rollback": _rollback,
    "enrol": _enrol,
    "people": _people,
    "database": _database,
}


def main(argv: list[str] | None = None) -> int:
    """Run a command. -> exit status: 0 done, 1 failed with a message, 2 wrong options, 130 interrupted."""
    arguments = parser().parse_args(argv)
    limit_convolution_cache()
    # A shell makes background processes ignore SIGINT, and then an interruption would not clean up.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        printed = FUNCTIONS[arguments.command](arguments)
        if printed is not None:
            print(printed)
    except (TrainingError, StorageError) as error:
        log(f"error: {error}")
        return 1
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        log(f"error: {error.strerror or error}{where}. Finished work is kept; the next run continues from there.")
        return 1
    except KeyboardInterrupt:
        log("interrupted. Finished work is kept; the next run continues from there.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
