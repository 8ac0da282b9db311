"""The error that the user of the training commands can fix, and messages to the user."""

from __future__ import annotations

import sys


class TrainingError(Exception):
    """An error that the user can fix, such as a missing file. The message is a sentence for the user."""


def log(message: str) -> None:
    """Print a line to stderr at once. stdout is for results."""
    print(message, file=sys.stderr, flush=True)
