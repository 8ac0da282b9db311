"""Identify the photos of a bucket, or enrol people from it, with the deployed service: `make bulk`, `make bulk-enrol`.

Counts the objects, prints time and price, starts a state machine and shows its progress. Ctrl-C ends the watching, not
the run. Exits with 1 if the run fails or cannot be started. docs/bulk.md describes runs and their results.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import datetime, timezone
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from api.batch_events import CLASSIFY, ENROL, RUN
from scripts.bulk_plan import DEPLOY, ONE_CPU, PHOTO_SECONDS, Setup, Work, count, entries, people, plan_lines
from scripts.bulk_run import Input, Machine, RunError, watch
from scripts.endpoint import SERVICE, client, outputs, region
from storage.collection_names import RULE, is_collection_name

OUTPUTS = {CLASSIFY: "BulkClassify", ENROL: "BulkEnrol"}
CONCURRENCY = {CLASSIFY: 50, ENROL: 2}  # people are enrolled by few, because writers of a collection take turns
TARGETS = {CLASSIFY: "bulk", ENROL: "bulk-enrol"}
MAX_CONCURRENCY = 10_000  # of a Distributed Map


class Stack(NamedTuple):
    """Parts of the stack for bulk work. machine: ARN of the state machine; memory: MB of the function."""

    bucket: str
    machine: str
    memory: int


class Task(NamedTuple):
    """A run before it starts. expected: number of items; files: to write below runs/ first, by key."""

    given: Input
    expected: int
    files: dict[str, bytes]


def find_stack(task: str, stage: str) -> Stack:
    """Read the outputs of the stack. Raises RunError, BotoCoreError."""
    name = f"{SERVICE}-{stage}"
    try:
        found = outputs(name)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        raise RunError(f"there is no service {name} in {region()}: deploy it with `make deploy`") from error
    if OUTPUTS[task] not in found:
        how = 'PHOTOS_BUCKET=NAME make deploy ARGS="--param bulk=on"'
        raise RunError(f"the service {name} was deployed without bulk=on: {how}")
    return Stack(found["BulkBucket"], found[OUTPUTS[task]], _memory(found["BulkFunction"]))


def _memory(function: str) -> int:
    """Return the function's memory in MB, or the default's if we may not know it."""
    try:
        memory: int = client("lambda").get_function_configuration(FunctionName=function)["MemorySize"]
        return memory
    except ClientError:
        return ONE_CPU


def batch_size(task: str) -> int:
    definition = json.loads((DEPLOY / f"bulk-{task}.json").read_text(encoding="utf-8"))
    size: int = definition["States"]["Batches"]["ItemBatcher"]["MaxItemsPerBatch"]
    return size


def prepare(options: argparse.Namespace, stack: Stack) -> Task:
    """Count the objects and print the plan. Raises RunError, BotoCoreError, ClientError."""
    prefix, task = options.prefix, options.task
    if task == ENROL and prefix and not prefix.endswith("/"):
        prefix += "/"
    place = f"s3://{stack.bucket}/{prefix}"
    print(f"counting the objects of {place}", flush=True)
    found = entries(client("s3"), stack.bucket, prefix)
    files: dict[str, bytes] = {}
    if task == ENROL:
        folders = people(found, prefix)
        lines = folders.lines()
        work = Work(folders.photos, len(folders.folders), batch_size(task), folders.photos + folders.more)
        items = json.dumps([{"Folder": folder} for folder in folders.folders])
        files[f"runs/{options.run}/people.json"] = items.encode()
        missing = "no folder with photos"
    else:
        counted = count(found)
        lines = counted.lines()
        work = Work(counted.photos, counted.objects, batch_size(task), counted.objects)
        missing = "no photo"
    if not work.photos:
        raise RunError(f"there is {missing} in {place}")
    for line in (*lines, *plan_lines(work, Setup(options.concurrency, stack.memory, options.seconds))):
        print(f"  {line}")
    given = {"bucket": stack.bucket, "prefix": prefix, "run": options.run, "collection": options.collection}
    given.update(concurrency=options.concurrency, tolerate=options.tolerate)
    return Task(given, work.items, files)


def start(options: argparse.Namespace, stack: Stack, machine: Machine) -> int:
    """Plan a run and start it. -> exit status. Raises as `prepare`."""
    if not options.dry_run:
        machine.check_new(options.run)  # before its list of people is written
    task = prepare(options, stack)
    if options.dry_run:
        return 0
    if not options.yes and sys.stdin.isatty() and input("Start? [y/N] ").strip().lower() not in ("y", "yes"):
        print("not started")
        return 1
    for key, data in task.files.items():
        client("s3").put_object(Bucket=stack.bucket, Key=key, Body=data)
    return follow(options, machine, machine.start(options.run, task.given), task.given, task.expected)


def resume(options: argparse.Namespace, machine: Machine) -> int:
    """Let a run go on. -> exit status. Raises RunError, BotoCoreError, ClientError."""
    arn, given = machine.resume(options.resume)
    return follow(options, machine, arn, given, 0)


def follow(options: argparse.Namespace, machine: Machine, arn: str, given: Input, expected: int) -> int:
    """Watch a run and print how it ends. -> exit status."""
    run, bucket = given["run"], given["bucket"]
    again = f'make {TARGETS[options.task]} ARGS="--resume {run}"'
    try:
        print(f"run {run}; Ctrl-C ends this display, not the run", flush=True)
        status, reason, progress = watch(machine, arn, _shown(), expected, options.every)
    except KeyboardInterrupt:
        stop = f"aws stepfunctions stop-execution --execution-arn {arn}"
        print(f"\nthe run goes on. Watch or resume it: {again}\nStop it: {stop}")
        return 0
    except (BotoCoreError, ClientError) as error:
        print(f"\nbulk: {explain(error)}\nThe run may go on. Watch it: {again}", file=sys.stderr)
        return 1
    print(f"\n{progress.done:,} done, {progress.failed:,} in failed batches. Results: s3://{bucket}/results/{run}/")
    if status == "SUCCEEDED" and not progress.failed:
        return 0
    if status != "SUCCEEDED":
        print(f"bulk: the run has ended as {status}{f': {reason}' if reason else ''}", file=sys.stderr)
    print(f"Failed batches are listed below s3://{bucket}/runs/{run}/. Try them again: {again}", file=sys.stderr)
    return 0 if status == "SUCCEEDED" else 1


def _shown() -> Any:
    """Return a function that shows a line in place of the last one, or below it if stdout is not a terminal."""
    last = [""]

    def show(line: str) -> None:
        if sys.stdout.isatty():
            print(f"\r{line.ljust(len(last[0]))}", end="", flush=True)
        elif line != last[0]:
            print(line, flush=True)
        last[0] = line

    return show


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=(CLASSIFY, ENROL))
    parser.add_argument("--bucket", default="", help="must be PHOTOS_BUCKET of the deployment, which is the default")
    parser.add_argument("--prefix", default="", help="of the photos' keys, or of the people's folders")
    parser.add_argument("--collection", default="", help="name, the default one if it is empty")
    parser.add_argument("--stage", default="dev", help="stage of the deployed service (default: %(default)s)")
    parser.add_argument("--run", default="", help="name of the run (default: the time)")
    parser.add_argument("--resume", default="", metavar="RUN", help="let a run go on that failed or was stopped")
    parser.add_argument("--concurrency", type=int, help="runtimes at once (default: 50, for people 2)")
    tolerated = "share of photos or people in batches that may fail altogether (default: 5)"
    parser.add_argument("--tolerate", type=float, default=5, metavar="PERCENT", help=tolerated)
    seconds = "that a photo is expected to take (default: %(default)s)"
    parser.add_argument("--seconds", type=float, default=PHOTO_SECONDS, help=seconds)
    parser.add_argument("--every", type=float, default=5, metavar="SECONDS", help="between two looks (default: 5)")
    parser.add_argument("--dry-run", action="store_true", help="count and calculate only")
    parser.add_argument("--yes", action="store_true", help="do not ask before the start")
    options = parser.parse_args(arguments)
    options.concurrency = CONCURRENCY[options.task] if options.concurrency is None else options.concurrency
    options.run = options.run or datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
    _check(parser, options)
    return options


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if not 1 <= options.concurrency <= MAX_CONCURRENCY:
        parser.error(f"--concurrency must be 1 to {MAX_CONCURRENCY:,}")
    if not 0 <= options.tolerate <= 100:
        parser.error("--tolerate must be 0 to 100")
    if not RUN.fullmatch(options.run) or (options.resume and not RUN.fullmatch(options.resume)):
        parser.error("a run has 1 to 64 of the characters a-z, A-Z, 0-9, - and _")
    if options.collection and not is_collection_name(options.collection):
        parser.error(f"--collection must be {RULE}")


def explain(error: Exception) -> str:
    """Say in plain words why AWS refuses."""
    if isinstance(error, ClientError):
        code = error.response["Error"]["Code"]
        if "AccessDenied" in code or code in ("403", "AllAccessDisabled", "UnauthorizedOperation"):
            return (
                f"your AWS credentials lack a right ({code} for {error.operation_name}): docs/bulk.md lists the rights"
            )
        if code == "NoSuchBucket":
            return "the bucket of the deployment does not exist any more"
    return f"AWS cannot be used as it is set up: {error}"


def main(arguments: list[str] | None = None) -> int:
    options = parse_options(arguments)
    try:
        stack = find_stack(options.task, options.stage)
        if options.bucket and options.bucket != stack.bucket:
            raise RunError(f"the service works on the bucket {stack.bucket} (PHOTOS_BUCKET), not on {options.bucket}")
        machine = Machine(client("stepfunctions"), stack.machine)
        return resume(options, machine) if options.resume else start(options, stack, machine)
    except RunError as error:
        print(f"bulk: {error}", file=sys.stderr)
    except (BotoCoreError, ClientError) as error:
        print(f"bulk: {explain(error)}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nbulk: interrupted", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
