"""Processes that are interrupted or killed at a chosen moment."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sys
from typing import Any, Callable

# With `spawn` a child would load torch anew, which takes seconds. So children must not compute with torch: its threads
# do not survive a fork.
FORK = multiprocessing.get_context("fork")


def signal_before_rename(signum: int, pattern: str, times: int = 1) -> None:
    """Have this process get a signal right before it renames a file to a path that matches. It cannot be undone.

    times: it is the rename after so many of them, including this one.
    """
    renamed: list[str] = []

    def hook(event: str, arguments: Any) -> None:
        if event == "os.rename" and re.search(pattern, str(arguments[1])):
            renamed.append(str(arguments[1]))
            if len(renamed) == times:
                os.kill(os.getpid(), signum)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.addaudithook(hook)


def run_until(work: Callable[[], object], signum: int, pattern: str) -> int:
    """Do some work in a process that gets a signal right before it renames a file to a path that matches.

    -> its exit code, negative where a signal ended it.
    """

    def run() -> None:
        signal_before_rename(signum, pattern)
        try:
            work()
        except KeyboardInterrupt:
            sys.exit(130)

    return exit_codes(run)[0]


def exit_codes(*works: Callable[[], object]) -> list[int]:
    """Do some work in a process each, all at once, and return their exit codes."""
    processes = [FORK.Process(target=work) for work in works]
    for process in processes:
        process.start()
    return [exit_code(process) for process in processes]


def exit_code(process: Any) -> int:
    """Wait for the end of a process."""
    process.join(60)
    if process.exitcode is None:
        process.kill()
        raise AssertionError("it has not ended after 60 s")
    return process.exitcode
