"""Fast start of the Lambda function.

Modules that no request needs are not executed, and Python's garbage collector rests until the app is there.
docs/engine.md has the measured times.
"""

from __future__ import annotations

import gc
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType
from typing import TYPE_CHECKING, Sequence

if TYPE_CHECKING:
    from app import App

# torch and numpy import these for their users, and the service uses none of them.
UNUSED = (
    *("torch.distributions", "torch.hub", "torch.onnx", "torch.optim", "torch.quantization", "torch.utils.data"),
    *("numpy.ctypeslib", "numpy.fft", "numpy.ma", "numpy.polynomial", "numpy.random"),
)


class LazyFinder(MetaPathFinder):
    """Finds the modules of UNUSED. Their code runs when one of their attributes is used, see `LazyLoader`."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name in UNUSED else None
        if spec and spec.loader:
            spec.loader = LazyLoader(spec.loader)
        return spec


def start() -> App:
    """Create the app that the environment describes. Raises ValueError for a setting that is wrong.

    Call before anything imports numpy or torch.
    """
    sys.meta_path.insert(0, LazyFinder())
    gc.disable()  # nearly all objects that imports create stay, and it would look at them again and again

    from app import create_app
    from settings import Settings

    app = create_app(Settings.from_env())
    gc.enable()
    gc.freeze()  # the collections of requests need not look at them either
    return app
