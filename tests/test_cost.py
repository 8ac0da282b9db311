"""Monthly cost, compared with sums calculated by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.cost import Milliseconds, collections, month, provisioned
from testing.paths import ROOT
from tests.commands import documented, shell


def test_month() -> None:
    bill = month(1_000_000, 1024, Milliseconds(warm=100, cold=100))
    assert bill["Lambda"] == pytest.approx(1.66667 + 0.20, abs=1e-4)
    assert bill["API Gateway"] == pytest.approx(3.50)
    assert bill["logs"] == pytest.approx(0.35)


def test_provisioned_concurrency() -> None:
    fixed, saved = provisioned(1024, 1_000_000, Milliseconds(warm=100, cold=100))
    assert fixed == pytest.approx(10.80, abs=0.01)
    assert saved == pytest.approx(0.694, abs=0.001)


def test_collections_that_change() -> None:
    assert collections(1_000_000, 0) == pytest.approx(0.40)
    assert collections(0, 1000) == pytest.approx(0.02)
    assert collections(500_000, 500) == pytest.approx(0.21)


def test_printed_tables(checkout: Path) -> None:
    printed = shell(documented("python -m benchmarks.cost", extra="--ms 90 60"), checkout).stdout
    assert printed.count("| 1,769 |") == printed.count("| 3,538 |") == 3
    assert "`warm=1` at 1,769 MB" in printed
    rows = [line for line in printed.splitlines() if "GALLERY_URI" in line]
    documented_rows = (ROOT / "docs/costs.md").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 2
    assert set(rows) <= set(documented_rows)
