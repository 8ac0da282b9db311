"""Tasks that run beside the requests."""

from __future__ import annotations

import threading
from typing import Callable

Task = Callable[[], None]


def in_background(task: Task) -> None:
    """Run a task in a thread. Lambda freezes it between requests, and it continues with the next one."""
    threading.Thread(target=task, name="refresh", daemon=True).start()


def at_once(task: Task) -> None:
    """Run a task and wait for it."""
    task()
