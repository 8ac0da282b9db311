"""`make bench-bulk` with few photos."""

from __future__ import annotations

from api.batch_events import parse_batch
from benchmarks.bulk import batches, measure


def test_batches() -> None:
    found = [parse_batch(event) for event in batches("r", 1, 45)]
    assert [len(batch.items) for batch in found] == [20, 20, 5]
    assert len({batch.name("version") for batch in found}) == 3


def test_measure() -> None:
    one, two = measure(photos=2, rounds=1, kind="small")
    assert one.cpu > 0
    assert one.wall > 0
    assert two.cpu > 0
    assert two.wall > 0
