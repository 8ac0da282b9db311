"""The state machines of `--param bulk=on`: definitions, permissions and the packaged function."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from api.batch_events import CLASSIFY, ENROL, parse_batch
from api.batches import DEATHS, RESERVE_MS, BatchFailed, BatchUnfinished
from api.bucket_photos import TRANSIENT
from api.errors import BadRequest
from service.errors import Conflict, ReadOnly, UnknownCollection
from storage.errors import StorageRefused
from testing.paths import ROOT
from tests.test_deploy import package

EXPRESS_SECONDS = 300  # that a child of the map may take
BYTES = 256 * 1024  # that an input of Step Functions may have
LONGEST_KEY = 1024  # bytes
OBJECT_ACTIONS = ("s3:GetObject", "s3:PutObject", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload")


def definition(task: str) -> dict[str, Any]:
    content = json.loads((ROOT / f"deploy/bulk-{task}.json").read_text(encoding="utf-8"))
    state: dict[str, Any] = content["States"]["Batches"]
    return state


def retried(task: str) -> dict[str, dict[str, Any]]:
    """The retriers, by the errors for which they are."""
    process = definition(task)["ItemProcessor"]["States"]["Process"]
    return {error: retrier for retrier in process["Retry"] for error in retrier["ErrorEquals"]}


@pytest.mark.parametrize("task", [CLASSIFY, ENROL])
class TestDefinition:
    def test_errors_that_pass_are_tried_again(self, task: str) -> None:
        found = retried(task)
        for error in (*TRANSIENT, Conflict, BatchUnfinished):
            assert found[error.__name__]["MaxAttempts"] >= 5
        throttled = found["Lambda.TooManyRequestsException"]
        assert (throttled["BackoffRate"], throttled["JitterStrategy"]) == (2, "FULL")
        # The first attempt does not note its items, and an item is given up in the attempt after its deaths.
        assert found["Lambda.Unknown"]["MaxAttempts"] >= 2 * DEATHS + 1

    def test_other_errors_are_not(self, task: str) -> None:
        for error in (BadRequest, StorageRefused, UnknownCollection, ReadOnly, BatchFailed):
            assert error.__name__ not in retried(task)
        assert not {"States.ALL", "States.TaskFailed"} & set(retried(task))

    def test_limits_come_from_the_input(self, task: str) -> None:
        state = definition(task)
        assert (state["MaxConcurrencyPath"], state["ToleratedFailurePercentagePath"]) == ("$.concurrency", "$.tolerate")
        assert state["ItemReader"]["Parameters"]["Bucket.$"] == "$.bucket"
        assert state["ItemProcessor"]["ProcessorConfig"] == {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"}

    def test_function_understands_the_payload(self, task: str) -> None:
        """With the keys of largest size, in the form that JSON makes longest."""
        batcher, size = definition(task)["ItemBatcher"], definition(task)["ItemBatcher"]["MaxItemsPerBatch"]
        given = {
            name.replace(".$", ""): value if ".$" not in name else "r" for name, value in batcher["BatchInput"].items()
        }
        key = "\u0001" * (LONGEST_KEY - 1) + "/"
        photo = {"Key": key, "Etag": '"0"' * 20, "Size": 10**9, "LastModified": 10**9, "StorageClass": "DEEP_ARCHIVE"}
        items = [photo if task == CLASSIFY else {"Folder": key}] * size
        payload = definition(task)["ItemProcessor"]["States"]["Process"]["Parameters"]["Payload"]
        assert sorted(payload) == ["Attempt.$", "BatchInput.$", "Items.$"]
        event = {"BatchInput": given, "Items": items, "Attempt": 0}
        assert len(json.dumps(event)) < BYTES
        assert len(parse_batch(event).items) == size


class TestPackage:
    @pytest.fixture(scope="class")
    def resources(self, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
        found, _ = package(tmp_path_factory.mktemp("bulk"), "bulk=on", PHOTOS_BUCKET="our-photos", MODEL_URI="")
        return found

    def test_off_by_default(self, tmp_path: Path) -> None:
        resources, _ = package(tmp_path, PHOTOS_BUCKET="our-photos", MODEL_URI="")
        assert not [name for name in resources if re.search("Batch|Bulk", name)]
        assert "our-photos" not in json.dumps(resources)

    def test_function(self, resources: dict[str, Any]) -> None:
        properties = resources["BatchLambdaFunction"]["Properties"]
        assert properties["ImageConfig"]["Command"] == ["handler.on_batch"]
        # Two attempts fit into the time of the workflow that calls it.
        assert RESERVE_MS / 1000 < properties["Timeout"] <= EXPRESS_SECONDS / 2

    def test_state_machines(self, resources: dict[str, Any]) -> None:
        for name, task in (("BulkClassify", CLASSIFY), ("BulkEnrol", ENROL)):
            properties = resources[name]["Properties"]
            assert properties["Definition"]["States"]["Batches"] == definition(task)
            assert properties["DefinitionSubstitutions"] == {"Function": {"Fn::GetAtt": ["BatchLambdaFunction", "Arn"]}}

    def test_rights_of_the_state_machines(self, resources: dict[str, Any]) -> None:
        """One function, one bucket, and the machines' own runs."""
        (policy,) = resources["BulkRole"]["Properties"]["Policies"]
        rights: dict[str, list[str]] = {}
        for one in policy["PolicyDocument"]["Statement"]:
            actions = [one["Action"]] if isinstance(one["Action"], str) else one["Action"]
            places = one["Resource"] if isinstance(one["Resource"], list) else [one["Resource"]]
            for action in actions:
                rights[action] = [place.get("Fn::Sub", str(place)) for place in places]
        s3, states = "arn:${AWS::Partition}:s3:::", "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:"
        machine = "face-recognition-dev-bulk"
        runs = [
            f"{states}execution:{machine}-{end}"
            for end in ("classify:*", "classify/Photos:*", "enrol:*", "enrol/People:*")
        ]
        assert rights == {
            "lambda:InvokeFunction": ["{'Fn::GetAtt': ['BatchLambdaFunction', 'Arn']}"],
            "s3:ListBucket": [f"{s3}our-photos"],
            **{action: [f"{s3}our-photos/runs/*"] for action in OBJECT_ACTIONS},
            "states:StartExecution": [f"{states}stateMachine:{machine}-{task}" for task in (CLASSIFY, ENROL)],
            **{f"states:{action}Execution": runs for action in ("Describe", "Stop", "Redrive")},
        }
        assert definition(CLASSIFY)["Label"] == "Photos"
        assert definition(ENROL)["Label"] == "People"

    def test_rights_of_the_function(self, resources: dict[str, Any]) -> None:
        (policy,) = resources["IamRoleLambdaExecution"]["Properties"]["Policies"]
        rights = [one for one in policy["PolicyDocument"]["Statement"] if "s3:" in str(one["Action"])]
        place = "arn:${AWS::Partition}:s3:::our-photos"
        assert [(one["Action"], one["Resource"]) for one in rights] == [
            (["s3:GetObject"], {"Fn::Sub": f"{place}/*"}),
            (
                ["s3:PutObject", "s3:DeleteObject"],
                [{"Fn::Sub": f"{place}/{prefix}/*"} for prefix in ("results", "failures", "runs")],
            ),
            (["s3:ListBucket"], {"Fn::Sub": place}),
        ]
