"""Fast start of the Lambda function.

Modules that no request needs are not executed, and the model is loaded in a thread while the modules of the app are
imported. docs/engine.md has the measured times.
"""

from __future__ import annotations

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
# Seconds. With Python's 0.005 the thread that loads the model waits so long for the imports after each of its reads.
SWITCH_INTERVAL = 0.0005


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
    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL)

    from settings import Settings, s3_settings_from_env
    from storage.live import LiveModel

    settings = Settings.from_env()
    live = LiveModel.at(settings.model_uri, s3_settings_from_env)
    live.prefetch()

    from app import create_app

    app = create_app(settings, live)
    sys.setswitchinterval(interval)
    return app
