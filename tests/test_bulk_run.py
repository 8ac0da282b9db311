"""`make bulk` and `make bulk-enrol` with a deployed stack on moto, whose interpreter runs the state machines.

The function runs in this process, behind HTTP: tests/bulk_aws.py, tests/bulk_function.py.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any, Iterator, NamedTuple

import boto3
import pytest

from app import App, create_app
from service.errors import ModelUnavailable
from settings import Settings
from testing.paths import ROOT, SAMPLES
from testing.servers import moto
from tests.bulk_function import Function, serving
from tests.commands import begin, clone, documented, shell

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "eu-central-1"}
IMAGE = f"000000000000.dkr.ecr.eu-central-1.amazonaws.com/face-recognition@sha256:{'0' * 64}"
KOFI, SERENA, TONY = (
    (SAMPLES / f"{name}.jpg").read_bytes() for name in ("Kofi_Annan_0006", "Serena_Williams_0006", "Tony_Blair_0007")
)


class Deployed(NamedTuple):
    """A stack with bulk=on on a local AWS, and its function."""

    folder: Path
    environment: dict[str, str]
    function: Function
    app: App

    def run(self, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return shell(command, self.folder, **{**self.environment, **environment})

    def succeed(self, command: str) -> str:
        """Run a command without a terminal. -> its output."""
        done = self.run(command)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def fail(self, command: str, **environment: str) -> str:
        """Run a command that must fail with a sentence. -> its errors."""
        done = self.run(command, **environment)
        assert done.returncode != 0, done.stdout
        assert "Traceback" not in done.stderr
        return done.stderr

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            "eu-central-1",
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def put(self, objects: dict[str, bytes]) -> None:
        s3 = self.client("s3")
        for key, data in objects.items():
            s3.put_object(Bucket="my-photos", Key=key, Body=data)

    def lines(self, run: str) -> list[dict[str, Any]]:
        s3 = self.client("s3")
        found = s3.list_objects_v2(Bucket="my-photos", Prefix=f"results/{run}/").get("Contents", [])
        texts = [s3.get_object(Bucket="my-photos", Key=entry["Key"])["Body"].read() for entry in found]
        return [json.loads(line) for text in texts for line in text.splitlines()]


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    folder = clone(tmp_path_factory.mktemp("bulk") / "clone")
    galleries = tmp_path_factory.mktemp("galleries")
    before = dict(os.environ)
    function = Function(lambda event, context: app.on_batch(event, context))
    app = create_app(Settings(gallery_uri=str(galleries), metrics=False))
    try:
        with serving(function) as url:
            os.environ.update(KEYS, FUNCTION=url)
            with moto(str(ROOT / ".venv-notebook/bin/python"), "-m", "tests.bulk_aws") as aws:
                os.environ["AWS_ENDPOINT_URL"] = aws  # of the function
                environment = {**KEYS, "AWS_ENDPOINT_URL": aws, "IMAGE_URI": IMAGE}
                found = Deployed(folder, environment, function, app)
                place = {"LocationConstraint": "eu-central-1"}
                found.client("s3").create_bucket(Bucket="my-photos", CreateBucketConfiguration=place)
                found.succeed(documented('PHOTOS_BUCKET=my-photos make deploy ARGS="--param bulk=on"'))
                yield found
    finally:
        os.environ.clear()
        os.environ.update(before)


BULK = documented("make bulk BUCKET=my-photos PREFIX=2026/")
OPTIONS = "--every 0.2 --concurrency 2"


def bulk(prefix: str, arguments: str) -> str:
    """The documented command for another prefix."""
    return BULK.replace("2026/", prefix) + f' ARGS="{OPTIONS} {arguments}"'


class TestClassify:
    """A bucket with photos and other files. The tests build on each other, in this order."""

    def test_dry_run(self, deployed: Deployed) -> None:
        photos = {f"2026/{number:02}.jpg": KOFI for number in range(23)}
        notes = {f"2026/notes/{number}.txt": b"" for number in range(980)}  # more than one page of a listing
        deployed.put({**photos, **notes, "2026/broken + 100 %.jpg": b"no photo"})
        output = deployed.succeed(documented('make bulk BUCKET=my-photos PREFIX=2026/ ARGS="--dry-run"'))
        assert "24 photos, 0.00 GB" in output
        assert "980 other objects, which are not read: 980 .txt" in output
        assert "51 batches in 50 runtimes at once" in output
        assert re.search(r"\$0\.\d\d: Lambda \$0\.\d\d, Step Functions \$0.00, S3 \$0.00", output)
        assert (
            deployed.client("stepfunctions").list_executions(stateMachineArn=self.machine(deployed))["executions"] == []
        )

    def machine(self, deployed: Deployed) -> str:
        (stack,) = deployed.client("cloudformation").describe_stacks(StackName="face-recognition-dev")["Stacks"]
        return {found["OutputKey"]: found["OutputValue"] for found in stack["Outputs"]}["BulkClassify"]

    def test_run(self, deployed: Deployed) -> None:
        deployed.function.throttled = 1
        output = deployed.succeed(bulk("2026/", "--run first"))
        assert "1,004 of 1,004, 0 in failed batches" in output
        assert "1,004 done, 0 in failed batches. Results: s3://my-photos/results/first/" in output
        lines = deployed.lines("first")
        assert len(lines) == 24
        assert {line["source"]["key"] for line in lines if "error" in line} == {"2026/broken + 100 %.jpg"}
        assert {line["predicted_name"] for line in lines if "error" not in line} == {"Kofi Annan"}
        sizes = sorted(len(event["Items"]) for event in deployed.function.events)  # they run at the same time
        assert sizes[0] == 4 and set(sizes[1:]) == {20}
        event = deployed.function.events[0]
        assert set(event) == {"BatchInput", "Items", "Attempt"}
        assert event["BatchInput"] == {"task": "classify", "bucket": "my-photos", "run": "first", "collection": ""}
        manifests = deployed.client("s3").list_objects_v2(Bucket="my-photos", Prefix="runs/first/")["Contents"]
        assert [entry["Key"].rpartition("/")[2] for entry in manifests] == ["manifest.json"]

    def test_the_same_run_again(self, deployed: Deployed) -> None:
        errors = deployed.fail(bulk("2026/", "--run first"))
        assert 'there is a run first already: resume it with ARGS="--resume first", or choose another name' in errors
        assert "has ended, and no batch failed" in deployed.fail(bulk("", "--resume first"))
        assert "there is no run second in the last 90 days" in deployed.fail(bulk("", "--resume second"))

    def test_failing_run_is_resumed(self, deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
        deployed.put({f"many/{number:02}.jpg": b"no photo" if number % 20 else KOFI for number in range(45)})
        original, function = deployed.function.on_batch, deployed.function

        def fails_in_the_middle(event: Any, context: Any) -> Any:
            if event["Items"][0]["Key"] == "many/20.jpg":
                raise ValueError("a state machine does not try this again")
            return original(event, context)

        with monkeypatch.context() as patch:
            patch.setattr(function, "on_batch", fails_in_the_middle)
            errors = deployed.fail(bulk("many/", "--run second"))
        assert (
            "the run has ended as FAILED: more than the tolerated share is in batches that failed altogether" in errors
        )
        assert 'Try them again: make bulk ARGS="--resume second"' in errors
        assert len(deployed.lines("second")) == 25
        function.events.clear()
        resume = documented('make bulk ARGS="--resume RUN"', replace={"RUN": f"second {OPTIONS}"})
        assert "45 done, 0 in failed batches" in deployed.succeed(resume)
        assert len(deployed.lines("second")) == 45
        assert len(function.events) == 3
        assert "has ended, and no batch failed" in deployed.fail(resume)

    def test_tolerated_failures(self, deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
        original = deployed.function.on_batch

        def fails(event: Any, context: Any) -> Any:
            if event["Items"][0]["Key"] == "many/40.jpg":
                raise ValueError("five of 45 photos")
            return original(event, context)

        with monkeypatch.context() as patch:
            patch.setattr(deployed.function, "on_batch", fails)
            done = deployed.run(bulk("many/", "--run third --tolerate 12"))
        assert done.returncode == 0, done.stderr
        assert "40 done, 5 in failed batches" in done.stdout
        assert 'Try them again: make bulk ARGS="--resume third"' in done.stderr
        assert "45 done, 0 in failed batches" in deployed.succeed(bulk("", "--resume third"))
        assert len(deployed.lines("third")) == 45

    def test_transient_error_is_tried_again(self, deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
        original, errors = deployed.function.on_batch, iter([ModelUnavailable("It is gone.")])

        def fails_once(event: Any, context: Any) -> Any:
            for error in errors:
                raise error
            return original(event, context)

        monkeypatch.setattr(deployed.function, "on_batch", fails_once)
        deployed.function.events.clear()
        deployed.succeed(bulk("2026/0", "--run fourth"))
        assert [event["Attempt"] for event in deployed.function.events] == [0, 1]
        assert len(deployed.lines("fourth")) == 10

    def test_interrupted_display(self, deployed: Deployed) -> None:
        with begin(
            f"exec .venv/bin/python -m scripts.bulk classify --prefix 2026/0 --run fifth {OPTIONS}",
            deployed.folder,
            **deployed.environment,
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if "Ctrl-C" in line:
                    os.killpg(process.pid, signal.SIGINT)
                    break
            output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert 'Watch or resume it: make bulk ARGS="--resume fifth"' in output
        assert "aws stepfunctions stop-execution --execution-arn arn:aws:states:" in output
        done = deployed.run(bulk("", "--resume fifth"))  # it runs, or has ended meanwhile
        assert "10 done" in done.stdout or "has ended, and no batch failed" in done.stderr


class TestEnrol:
    """A bucket with a folder for each person. The tests build on each other, in this order."""

    def test_dry_run(self, deployed: Deployed) -> None:
        objects = {
            "people/Kofi Annan/1.jpg": KOFI,
            "people/Kofi Annan/2.jpg": b"no photo",
            "people/Serena & Co. +/1.jpg": SERENA,
            "people/Tony/1.jpg": TONY,
            "people/Tony/raw/2.jpg": TONY,
            "people/Nobody/notes.txt": b"",
            "people/stray.jpg": TONY,
        }
        deployed.put(objects)
        command = documented(
            'make bulk-enrol BUCKET=my-photos PREFIX=people/ COLLECTION=staff ARGS="--dry-run"',
            replace={"staff": "people"},
        )
        output = deployed.succeed(command)
        assert "3 people, 4 photos" in output
        assert "1 folders without a photo" in output
        assert "1 photos that are in no folder of a person" in output
        assert "1 batches in 1 runtimes at once" in output

    def test_run(self, deployed: Deployed) -> None:
        command = documented(
            "make bulk-enrol BUCKET=my-photos PREFIX=people/ COLLECTION=staff", replace={"COLLECTION=staff": ""}
        )
        output = deployed.succeed(f'{command} ARGS="{OPTIONS} --run people-1"')
        assert "3 done, 0 in failed batches" in output
        people = deployed.app.services.people.people("people").people
        assert {person.name: person.faces for person in people} == {"Kofi Annan": 1, "Serena & Co. +": 1, "Tony": 1}
        lines = {line["name"]: line for line in deployed.lines("people-1")}
        (skipped,) = lines["Kofi Annan"]["skipped"]
        assert (skipped["file"], skipped["reason"]) == ("2.jpg", "unreadable")

    def test_another_run_enrols_nobody_twice(self, deployed: Deployed) -> None:
        command = documented(
            "make bulk-enrol BUCKET=my-photos PREFIX=people/ COLLECTION=staff", replace={"staff": "people"}
        )
        deployed.succeed(f'{command} ARGS="{OPTIONS} --run people-2"')
        assert {line["added"] for line in deployed.lines("people-2")} == {False}
        assert len(deployed.app.services.people.people("people").people) == 3

    def test_unknown_collection(self, deployed: Deployed) -> None:
        command = documented("make bulk-enrol BUCKET=my-photos PREFIX=people/ COLLECTION=staff")
        errors = deployed.fail(f'{command} ARGS="{OPTIONS} --run people-3"')
        assert "the run has ended as FAILED" in errors


class TestWrongUse:
    """Errors in plain words."""

    @pytest.mark.parametrize(
        "command, why",
        [
            (bulk("nothing/", ""), "bulk: there is no photo in s3://my-photos/nothing/"),
            (
                bulk("", "--stage none"),
                "bulk: there is no service face-recognition-none in eu-central-1: deploy it with",
            ),
            (BULK.replace("my-photos", "others"), "works on the bucket my-photos (PHOTOS_BUCKET), not on others"),
            (bulk("", "--concurrency 0"), "--concurrency must be 1 to 10,000"),
            (bulk("", "--tolerate 101"), "--tolerate must be 0 to 100"),
            (bulk("", "--run a/b"), "a run has 1 to 64 of the characters"),
            ("make bulk COLLECTION=a/b", "--collection must be 1 to 255 of the characters"),
            ("make bulk-enrol PREFIX=many/", "bulk: there is no folder with photos in s3://my-photos/many/"),
        ],
    )
    def test_sentence(self, command: str, why: str, deployed: Deployed) -> None:
        assert why in deployed.fail(command)

    def test_bulk_is_off(self, deployed: Deployed) -> None:
        deployed.succeed("npx sls deploy --stage off")
        errors = deployed.fail(bulk("", "--stage off"))
        assert 'was deployed without bulk=on: PHOTOS_BUCKET=NAME make deploy ARGS="--param bulk=on"' in errors

    def test_aws_cannot_be_reached(self, deployed: Deployed) -> None:
        errors = deployed.fail(BULK, AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_MAX_ATTEMPTS="1")
        assert "bulk: AWS cannot be used as it is set up: Could not connect to the endpoint URL" in errors


def test_the_stack_is_removed(deployed: Deployed) -> None:
    deployed.succeed("PHOTOS_BUCKET=my-photos npx sls remove --param bulk=on")
    assert deployed.client("stepfunctions").list_state_machines()["stateMachines"] == []
