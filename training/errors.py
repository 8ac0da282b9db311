"""Errors that the person at the keyboard can fix, and progress lines for them."""

from __future__ import annotations

import sys


class TrainingError(Exception):
    """Something that the person at the keyboard can mend; the message is a sentence for them."""


def log(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
