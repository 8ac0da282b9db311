"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
from pathlib import Path


def parser_of(doc: str | None, *, data: bool = False) -> argparse.ArgumentParser:
    """Make a parser with a module's docstring as help. data: with the option --data, for LFW."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if data:
        parser.add_argument("--data", type=Path, required=True, help="archive or folder of LFW, deep-funneled")
    return parser
