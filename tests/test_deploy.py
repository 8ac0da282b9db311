"""The unchanged `sls deploy`, and back, against moto's API of AWS, without Docker or an account."""

from __future__ import annotations

import ast
from typing import Any, Iterator

import boto3
import pytest

from tests.conftest import ROOT, moto, sls

IMAGE = f"000000000000.dkr.ecr.eu-central-1.amazonaws.com/face-recognition@sha256:{'0' * 64}"
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "eu-central-1"}


@pytest.fixture(scope="module")
def aws() -> Iterator[dict[str, str]]:
    """The environment that leads to it."""
    with moto(ROOT / ".venv-notebook/bin/python") as url:  # its CloudFormation needs a current Python
        yield {**KEYS, "AWS_ENDPOINT_URL": url}


@pytest.fixture()
def client(aws: dict[str, str]) -> Any:
    def make(service: str) -> Any:
        return boto3.client(
            service,
            "eu-central-1",
            endpoint_url=aws["AWS_ENDPOINT_URL"],
            aws_access_key_id="a",
            aws_secret_access_key="b",
        )

    return make


def call(aws: dict[str, str], *arguments: str, **environment: str) -> str:
    done = sls(*arguments, **aws, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def allowed_on_s3(iam: Any, role: str) -> list[tuple[list[str], Any]]:
    found = []
    for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
        # moto gives what CloudFormation made as Python writes it.
        document = ast.literal_eval(document) if isinstance(document, str) else document
        found += [(one["Action"], one["Resource"]) for one in document["Statement"] if "s3:" in str(one["Action"])]
    return found


def test_deploy_and_remove(aws: dict[str, str], client: Any) -> None:
    settings = {"IMAGE_URI": IMAGE, "MODEL_URI": "s3://models/faces", "CORS_ORIGIN": "https://page.example"}
    call(aws, "deploy", **settings)

    function = client("lambda").get_function(FunctionName="face-recognition-dev-classify")
    assert function["Code"]["ImageUri"] == IMAGE
    assert (function["Configuration"]["MemorySize"], function["Configuration"]["Timeout"]) == (1769, 29)
    variables = function["Configuration"]["Environment"]["Variables"]
    assert (variables["MODEL_URI"], variables["CORS_ORIGIN"]) == ("s3://models/faces", "https://page.example")

    role = function["Configuration"]["Role"].rpartition("/")[2]
    assert allowed_on_s3(client("iam"), role) == [
        (["s3:GetObject"], "arn:aws:s3:::models/faces/*"),
        (["s3:ListBucket"], "arn:aws:s3:::models"),
    ]

    gateway = client("apigateway")
    (api,) = gateway.get_rest_apis()["items"]
    resources = gateway.get_resources(restApiId=api["id"])["items"]
    assert [(found["path"], list(found.get("resourceMethods", {}))) for found in resources if found["path"] != "/"] == [
        ("/{proxy+}", ["ANY"])
    ]
    assert "stack: face-recognition-dev" in call(aws, "info", **settings)

    call(aws, "deploy", **{**settings, "MODEL_URI": ""})  # an update, to the bundled model
    updated = client("lambda").get_function(FunctionName="face-recognition-dev-classify")
    assert updated["Configuration"]["Environment"]["Variables"]["MODEL_URI"] == ""

    call(aws, "remove", **settings)
    assert client("lambda").list_functions()["Functions"] == []
    assert (
        client("cloudformation").list_stacks(StackStatusFilter=["CREATE_COMPLETE", "UPDATE_COMPLETE"])["StackSummaries"]
        == []
    )
