"""Runs of the state machines behind `make bulk` and `make bulk-enrol`: start, resume, watch."""

from __future__ import annotations

import json
import time
from typing import Any, Callable, Dict, NamedTuple

from botocore.exceptions import ClientError

from scripts.bulk_plan import words

Input = Dict[str, Any]
RUNNING = ("RUNNING", "PENDING_REDRIVE")
REASONS = {
    "States.ExceedToleratedFailureThreshold": "more than the tolerated share is in batches that failed altogether",
    "States.ItemReaderFailed": "the objects or the list of people cannot be read",
    "States.ResultWriterFailed": "the list of batches cannot be written below runs/",
    "States.Permissions": "the role of the state machine lacks a right: deploy again",
}


class RunError(Exception):
    """The run cannot be started or resumed. The message is a sentence for the user."""


class Progress(NamedTuple):
    """Items of a run."""

    done: int = 0
    failed: int = 0
    running: int = 0
    total: int = 0


class Machine:
    """One state machine. All methods raise BotoCoreError and ClientError."""

    def __init__(self, client: Any, arn: str) -> None:
        self._client, self._arn = client, arn

    def start(self, name: str, given: Input) -> str:
        """Start an execution. -> its ARN. Raises RunError if there is one with this name."""
        try:
            started = self._client.start_execution(stateMachineArn=self._arn, name=name, input=json.dumps(given))
        except ClientError as error:
            if error.response["Error"]["Code"] != "ExecutionAlreadyExists":
                raise
            raise RunError(_exists(given["run"])) from error
        arn: str = started["executionArn"]
        return arn

    def check_new(self, run: str) -> None:
        """Raise RunError if there is a run with this name."""
        if self._latest(run)[1] is not None:
            raise RunError(_exists(run))

    def resume(self, run: str) -> tuple[str, Input]:
        """Let a run go on. -> the ARN of its execution, and the run's input. Raises RunError if it has nothing to do.

        A failed run is redriven, which repeats only the batches that failed. Where Step Functions cannot do that, the
        run is started again: its finished batches are found done.
        """
        number, found = self._latest(run)
        if found is None:
            raise RunError(f"there is no run {run} in the last 90 days")
        arn, given = found["executionArn"], json.loads(found["input"])
        if found["status"] in RUNNING:
            return arn, given
        if found["status"] == "SUCCEEDED" and not self.progress(arn).failed:
            raise RunError(f"the run {run} has ended, and no batch failed: start a new one for objects added since")
        if found.get("redriveStatus") == "REDRIVABLE":
            self._client.redrive_execution(executionArn=arn)
            return arn, given
        return self.start(f"{run}.{number + 1}", given), given

    def _latest(self, run: str) -> tuple[int, Any]:
        """Return the last execution of a run, and its number. The first one is called as the run, others RUN.2 ..."""
        number, found = 0, None
        while True:
            name = run if number == 0 else f"{run}.{number + 1}"
            try:
                found = self._client.describe_execution(executionArn=self._execution(name))
            except ClientError as error:
                if error.response["Error"]["Code"] not in ("ExecutionDoesNotExist", "InvalidArn"):
                    raise
                return number, found
            number += 1

    def _execution(self, name: str) -> str:
        return f"{self._arn.replace(':stateMachine:', ':execution:')}:{name}"

    def progress(self, arn: str) -> Progress:
        """Return how far an execution is."""
        runs = self._client.list_map_runs(executionArn=arn)["mapRuns"]
        if not runs:
            return Progress()
        counts = self._client.describe_map_run(mapRunArn=runs[0]["mapRunArn"])["itemCounts"]
        failed = counts["failed"] + counts["timedOut"] + counts["aborted"]
        return Progress(counts["succeeded"], failed, counts["running"], counts["total"])

    def status(self, arn: str) -> tuple[str, str]:
        """Return the status of an execution, and the reason if it has failed."""
        found = self._client.describe_execution(executionArn=arn)
        error = found.get("error", "")
        return found["status"], REASONS.get(error, error)


def _exists(run: str) -> str:
    return f'there is a run {run} already: resume it with ARGS="--resume {run}", or choose another name'


def watch(
    machine: Machine, arn: str, show: Callable[[str], None], expected: int, every: float
) -> tuple[str, str, Progress]:
    """Show the progress until an execution ends. -> its status, the reason if it failed, and its progress.

    expected: number of items, 0 if it is not known; every: seconds between two looks.
    """
    clock = Clock(expected)
    while True:
        status, reason = machine.status(arn)
        progress = machine.progress(arn)
        show(clock.line(progress, time.monotonic()))
        if status not in RUNNING:
            return status, reason, progress
        time.sleep(every)


class Clock:
    """Speed and time left, from the first items that were seen to be done."""

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._first: tuple[float, int] | None = None

    def line(self, progress: Progress, now: float) -> str:
        """Describe the progress. now: seconds of a clock."""
        done = progress.done + progress.failed
        if self._first is None:
            self._first = now, done
        total = max(self._expected, progress.total)
        text = f"{done:,} of {total:,}, {progress.failed:,} in failed batches, {progress.running:,} running"
        seconds, items = now - self._first[0], done - self._first[1]
        if seconds <= 0 or items <= 0:
            return text
        rate = items / seconds
        return f"{text}, {rate:,.1f} a second, {words((total - done) / rate)} left"
