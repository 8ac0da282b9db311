"""`make bench-bulk` with few photos."""

from __future__ import annotations

from api.batch_events import parse_batch
from benchmarks.bulk import batches, measure
from testing.paths import SAMPLES


def test_batches() -> None:
    found = [parse_batch(event) for event in batches("r", 1, 45)]
    assert [len(batch.items) for batch in found] == [20, 20, 5]
    assert len({batch.name("version") for batch in found}) == 3


def test_measure() -> None:
    photo = (SAMPLES / "Kofi_Annan_0006.jpg").read_bytes()
    assert min(min(seconds) for seconds in measure(photos=2, rounds=1, photo=photo)) > 0
