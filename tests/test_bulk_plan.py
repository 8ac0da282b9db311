"""The plan of `make bulk`: counts, time and price, compared with sums calculated by hand; progress and resuming."""

from __future__ import annotations

import json
from typing import Any, Iterator

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from api.bucket_photos import MAX_BYTES
from model.processor import MB_PER_VCPU
from scripts.bulk import explain
from scripts.bulk_plan import (
    KINDS_OF_FILES,
    ONE_CPU,
    PRICES,
    Entry,
    Setup,
    Work,
    count,
    duration,
    people,
    plan_lines,
    price,
    words,
)
from scripts.bulk_run import Clock, Machine, Progress, RunError

MACHINE = "arn:aws:states:eu-central-1:123456789012:stateMachine:face-recognition-dev-bulk-classify"
GIVEN = {"bucket": "b", "prefix": "", "run": "r", "collection": "", "concurrency": 50, "tolerate": 5}


def test_count() -> None:
    keys = ["a.jpg", "b.JPG", "c", "d/", "e.txt", "f.txt", "g.mov", "results/r/a.jsonl", "photos/a.heic"]
    found = count(Entry(key, 1000) for key in keys)
    assert (found.photos, found.photo_bytes, found.objects) == (4, 4000, 9)
    assert found.others == {".txt": 2, ".mov": 1, "folders": 1, "results of this service": 1}
    assert count([Entry("a.jpg", MAX_BYTES), Entry("b.jpg", MAX_BYTES + 1)]).too_large == 1
    lines = list(count([Entry("a.jpg", MAX_BYTES + 1), Entry("b.txt", 0)]).lines())
    assert lines == [
        "0 photos, 0.00 GB",
        "1 photos of more than 25 MB: their results are errors",
        "1 other objects, which are not read: 1 .txt",
    ]


def test_hidden_and_system_objects_are_not_photos() -> None:
    keys = [".thumbnails/a.jpg", "a/@eaDir/1.jpg/x.jpg", "a/._1.jpg", "$RECYCLE.BIN/1.jpg", "a/../b.jpg", "a/1.jpg"]
    found = count(Entry(key, 1) for key in keys)
    assert (found.photos, found.others) == (2, {"hidden or of a system": 4})
    folders = [".thumbnails/1.jpg", "@eaDir/1.jpg", "Ada/1.jpg"]
    assert people((Entry(key, 1) for key in folders), "").folders == ["Ada/"]


def test_a_million_other_objects() -> None:
    """Counting takes constant memory, also with an ending for each object."""
    found = count(Entry(f"a.x{number}", 1) for number in range(100_000))
    assert sum(found.others.values()) == found.objects == 100_000
    assert len(found.others) == KINDS_OF_FILES + 1


def test_people() -> None:
    keys = [
        *("people/A/1.jpg", "people/A/2.jpg", "people/A/notes.txt", "people/A/old/3.jpg"),
        *("people/B B/x.txt", "people/C/", "people/C/1.png"),
        *(f"people/D+%/{number:02}.jpg" for number in range(22)),
        *("people/stray.jpg", "people/stray.txt"),
    ]
    found = people((Entry(key, 1) for key in keys), "people/")
    assert found.folders == ["people/A/", "people/C/", "people/D+%/"]
    assert (found.photos, found.more, found.empty, found.stray) == (2 + 1 + 20, 2, 1, 1)
    assert people([], "people/").folders == []


def test_price_of_a_million_photos() -> None:
    work, setup = Work(1_000_000, 1_000_000, 20, 1_000_000), Setup(50, 1024 * 2, 0.1)
    bill = price(work, setup)
    # 100,000 s and 50 starts of 1 s with 2 GB, and 50,000 calls.
    assert bill["Lambda"] == pytest.approx(100_050 * 2 * 0.0000166667 + 0.01, abs=1e-6)
    # 50,000 workflows, which take 100,050 s and 0.1 s of rounding each with 64 MB, and three transitions.
    assert bill["Step Functions"] == pytest.approx(0.05 + 105_050 / 16 * 0.00001667 + 0.000075, abs=1e-6)
    # Reading each photo and twice for each batch; writing one result for each, and listing twice.
    assert bill["S3"] == pytest.approx(1_100_000 * 0.0000004 + (50_000 + 2_000) * 0.000005, abs=1e-6)
    assert duration(work, setup) == pytest.approx(100_000 / 50 + 1 + 100)


def test_one_cpu() -> None:
    """The service knows the same figure; to import it would load torch."""
    assert ONE_CPU == MB_PER_VCPU


def test_standard_workflows_would_cost_more() -> None:
    """As docs/bulk.md says."""
    work, setup = Work(1_000_000, 1_000_000, 20, 1_000_000), Setup(50)
    assert f"{price(work, setup)['Step Functions']:.2f}" == "0.21"
    assert f"{50_000 * PRICES['workflow_transition']:.2f}" == "1.25"


def test_less_memory_is_slower() -> None:
    assert Setup(1, 1769, 0.1).photo_seconds == pytest.approx(0.1)
    assert Setup(1, 884, 0.1).photo_seconds == pytest.approx(0.2, abs=0.001)
    assert Setup(1, 3538, 0.1).photo_seconds == pytest.approx(0.1)


def test_plan_in_words() -> None:
    first, second = plan_lines(Work(1000, 1000, 20, 1000), Setup(10, seconds=0.1))
    assert first == "50 batches in 10 runtimes at once, about 11 s (0.10 s a photo)"
    assert second.startswith("$0.00: Lambda $0.00, Step Functions $0.00, S3 $0.00 (prices of November 2026")
    assert [words(seconds) for seconds in (40, 720, 12_600)] == ["40 s", "12 min", "3.5 h"]


def test_speed_and_time_left() -> None:
    clock = Clock(expected=100)
    assert clock.line(Progress(0, 0, 20, 40), 10.0) == "0 of 100, 0 in failed batches, 20 running"
    line = clock.line(Progress(30, 10, 20, 80), 20.0)
    assert line == "40 of 100, 10 in failed batches, 20 running, 4.0 a second, 15 s left"
    assert clock.line(Progress(90, 10, 0, 120), 35.0).startswith("100 of 120")


def test_missing_rights_in_words() -> None:
    """The local AWS checks no rights."""
    denied = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "..."}}, "StartExecution")
    expected = (
        "your AWS credentials lack a right (AccessDeniedException for StartExecution): docs/bulk.md lists the rights"
    )
    assert explain(denied) == expected


class TestResuming:
    """Calls to Step Functions, which no local server answers as AWS does."""

    @pytest.fixture()
    def stub(self, no_aws_settings: None) -> Iterator[Stubber]:
        client = boto3.client("stepfunctions", "eu-central-1", aws_access_key_id="test", aws_secret_access_key="test")
        with Stubber(client) as stub:
            yield stub
            stub.assert_no_pending_responses()
        client.close()

    def described(self, stub: Stubber, name: str, **fields: Any) -> str:
        arn = f"{MACHINE.replace(':stateMachine:', ':execution:')}:{name}"
        found = {"executionArn": arn, "stateMachineArn": MACHINE, "startDate": 0, "input": json.dumps(GIVEN), **fields}
        stub.add_response("describe_execution", found, {"executionArn": arn})
        return arn

    def missing(self, stub: Stubber, name: str) -> None:
        arn = f"{MACHINE.replace(':stateMachine:', ':execution:')}:{name}"
        stub.add_client_error("describe_execution", "ExecutionDoesNotExist", expected_params={"executionArn": arn})

    @pytest.mark.parametrize("status", ["FAILED", "ABORTED", "TIMED_OUT"])
    def test_redrive(self, status: str, stub: Stubber) -> None:
        arn = self.described(stub, "r", status=status, redriveStatus="REDRIVABLE")
        self.missing(stub, "r.2")
        stub.add_response("redrive_execution", {"redriveDate": 0}, {"executionArn": arn})
        assert Machine(stub.client, MACHINE).resume("r") == (arn, GIVEN)

    def test_too_late_for_a_redrive(self, stub: Stubber) -> None:
        self.described(stub, "r", status="FAILED", redriveStatus="NOT_REDRIVABLE")
        self.described(stub, "r.2", status="ABORTED", redriveStatus="NOT_REDRIVABLE")
        self.missing(stub, "r.3")
        arn = f"{MACHINE.replace(':stateMachine:', ':execution:')}:r.3"
        expected = {"stateMachineArn": MACHINE, "name": "r.3", "input": json.dumps(GIVEN)}
        stub.add_response("start_execution", {"executionArn": arn, "startDate": 0}, expected)
        assert Machine(stub.client, MACHINE).resume("r") == (arn, GIVEN)

    @pytest.mark.parametrize("status", ["RUNNING", "PENDING_REDRIVE"])
    def test_running(self, status: str, stub: Stubber) -> None:
        arn = self.described(stub, "r", status=status)
        self.missing(stub, "r.2")
        assert Machine(stub.client, MACHINE).resume("r") == (arn, GIVEN)

    def test_unknown_run(self, stub: Stubber) -> None:
        self.missing(stub, "r")
        with pytest.raises(RunError, match="there is no run r"):
            Machine(stub.client, MACHINE).resume("r")
