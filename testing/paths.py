"""Paths of the repository and of the data folder next to it, which DATA_DIR overrides."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "web" / "samples"
EVENTS = ROOT / "tests" / "events"
DATA = Path(os.getenv("DATA_DIR") or ROOT.parent / "shared")
