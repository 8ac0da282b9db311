"""Deployment, update, rollback and removal with the real `sls` commands against moto: `make deploy-local`.

Needs neither Docker nor an AWS account. The deployed configuration is not changed for the tests: tests/aws.py adds the
features that moto lacks.
"""

from __future__ import annotations

import ast
import base64
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Iterator

import boto3
import botocore.session
import pytest
import yaml
from botocore.exceptions import ClientError
from botocore.parsers import create_parser

from app import create_app
from settings import Settings
from testing.paths import ROOT
from testing.servers import moto
from tests.commands import begin, clone, documented, shell
from tests.conftest import sls
from tests.contract import check
from tests.gateway import Routes, serving

IMAGE = f"000000000000.dkr.ecr.eu-central-1.amazonaws.com/face-recognition@sha256:{'0' * 64}"
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "eu-central-1"}
CLASSIFY = "face-recognition-dev-classify"
ALL = [
    "bucket=our-models",
    "alarms=ops@example.com",
    "reserved=3",
    "warm=1",
    "keys=on",
    "rate=5",
    "burst=9",
    "strictness=0.3",
    "collection=staff",
    "crops=on",
]
NETWORK = ["subnets=subnet-0123456789abcdef0,subnet-01234567", "securityGroups=sg-0123456789abcdef0"]
DATABASE = "postgresql://faces@db.example:5432/faces?sslmode=verify-full"
PASSWORD = "correct-horse"
WITH_PASSWORD = f"postgres://faces:{PASSWORD}@db.example/faces"
AS_DEPLOYED = " ".join(f"--param {setting}" for setting in ALL)
READ = {"s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket"}
WITHOUT_KEYS = {"/": {"ANY": False}, "/{proxy+}": {"ANY": False}}
WITH_KEYS = {path: {"ANY": True, "OPTIONS": False} for path in WITHOUT_KEYS}
FORGET = {
    "ID": "forget",
    "Filter": {"Prefix": "galleries/"},
    "Status": "Enabled",
    "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
    "Expiration": {"ExpiredObjectDeleteMarker": True},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
}


def params(*settings: str) -> list[str]:
    return [part for setting in settings for part in ("--param", setting)]


@pytest.fixture(scope="module")
def aws() -> Iterator[dict[str, str]]:
    """Yield the environment variables that point the AWS clients at a moto server."""
    with moto(
        str(ROOT / ".venv-notebook/bin/python"), "-m", "tests.aws"
    ) as url:  # moto's CloudFormation needs that Python
        yield {**KEYS, "AWS_ENDPOINT_URL": url}


@pytest.fixture(scope="module")
def cloned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clone(tmp_path_factory.mktemp("deploy") / "clone")


@pytest.fixture(scope="module")
def client(aws: dict[str, str]) -> Callable[[str], Any]:
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
    return lambda service: boto3.client(service, "eu-central-1", endpoint_url=aws["AWS_ENDPOINT_URL"], **keys)


def run_sls(aws: dict[str, str], *arguments: str, **environment: str) -> str:
    done = sls(*arguments, **{**aws, "IMAGE_URI": IMAGE, **environment})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def run_documented(command: str, folder: Path, aws: dict[str, str], **environment: str) -> str:
    """Run a command from the documents. -> its output."""
    done = shell(command, folder, **{**aws, "IMAGE_URI": IMAGE, **environment})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def failed_output(*arguments: str, **environment: str) -> str:
    """Run `sls`, which must fail without a stack trace. -> its output."""
    done = sls(*arguments, **environment)
    output = done.stdout + done.stderr
    assert done.returncode != 0, output
    assert "    at " not in output
    return output


def package(folder: Path, *settings: str, **environment: str) -> tuple[dict[str, Any], str]:
    """Run `sls package`, which needs no AWS account. -> the resources of its template, and its output."""
    done = sls("package", *params(*settings), "--package", str(folder), **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    template = json.loads((folder / "cloudformation-template-update-stack.json").read_text(encoding="utf-8"))
    return template["Resources"], done.stdout + done.stderr


def variables(client: Any, function: str = CLASSIFY) -> dict[str, str]:
    return client("lambda").get_function(FunctionName=function)["Configuration"]["Environment"]["Variables"]


def role_of(client: Any, function: str = CLASSIFY) -> str:
    return client("lambda").get_function(FunctionName=function)["Configuration"]["Role"].rpartition("/")[2]


def of_type(resources: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [resource for resource in resources.values() if resource["Type"] == kind]


def packaged_routes(resources: dict[str, Any]) -> Routes:
    """Routes of the REST API in a template."""
    routes: dict[str, dict[str, bool]] = {}
    for method in of_type(resources, "AWS::ApiGateway::Method"):
        properties = method["Properties"]
        resource = properties["ResourceId"].get("Ref")  # the root is an attribute of the API
        part = resources[resource]["Properties"]["PathPart"] if resource else ""
        routes.setdefault(f"/{part}", {})[properties["HttpMethod"]] = properties["ApiKeyRequired"]
    return routes


def deployed_routes(gateway: Any, api_id: str) -> Routes:
    """Routes of a REST API. All of them must call the function."""
    routes: dict[str, dict[str, bool]] = {}
    for resource in gateway.get_resources(restApiId=api_id)["items"]:
        for name in resource.get("resourceMethods", ()):
            method = gateway.get_method(restApiId=api_id, resourceId=resource["id"], httpMethod=name)
            assert method["methodIntegration"]["type"] == "AWS_PROXY"
            routes.setdefault(resource["path"], {})[name] = method["apiKeyRequired"]
    return routes


def send(url: str, method: str, headers: dict[str, str], body: bytes | None = None) -> tuple[int, Any]:
    """Send a request. -> status and JSON of the response, which may have no body."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method), timeout=60) as reply:
            return reply.status, json.loads(reply.read() or "null")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or "null")


def permissions(iam: Any, role: str, service: str = "s3") -> list[tuple[list[str], Any]]:
    """Actions of a service that a role allows, with their resources."""
    found = []
    for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
        # moto returns policies that CloudFormation created as the repr of a Python object.
        document = ast.literal_eval(document) if isinstance(document, str) else document
        found += [
            (one["Action"], one["Resource"]) for one in document["Statement"] if f"{service}:" in str(one["Action"])
        ]
    return found


class TestFullDeployment:
    """Deploy a service with all parameters, update it and remove it. The tests build on each other, in this order."""

    def test_deploy(self, aws: dict[str, str], cloned: Path, client: Any) -> None:
        # A bucket for models covers more than the bundled model.
        command = documented(
            'make deploy ARGS="--param bucket=our-models"', replace={"bucket=our-models": " --param ".join(ALL)}
        )
        command = documented("export ADMIN_KEY=$(openssl rand -hex 32)") + f" && {command}"
        output = run_documented(command, cloned, aws, CORS_ORIGIN="https://page.example", API_KEY="of-readers")
        assert "The bucket is empty, so publish a model: make publish MODEL_URI=s3://our-models/networks" in output
        assert "With keys=on, readers need a key of API Gateway, and API_KEY is not used." in output
        (stack,) = client("cloudformation").describe_stacks(StackName="face-recognition-dev")["Stacks"]
        assert stack["StackStatus"] == "UPDATE_COMPLETE"  # created with only its deployment bucket, then updated

    def test_the_function(self, client: Any) -> None:
        found = client("lambda").get_function(FunctionName=CLASSIFY)
        assert found["Code"]["ImageUri"] == IMAGE
        configuration = found["Configuration"]
        assert configuration["PackageType"] == "Image"
        assert (configuration["MemorySize"], configuration["Timeout"]) == (1769, 29)
        assert re.fullmatch("[0-9a-f]{64}", variables(client)["ADMIN_KEY"])
        assert configuration["Environment"]["Variables"] == {
            "MODEL_URI": "s3://our-models/networks",
            "GALLERY_URI": "s3://our-models/galleries",
            "COLLECTION": "staff",
            "CORS_ORIGIN": "https://page.example",
            "API_KEY": "",
            "ADMIN_KEY": variables(client)["ADMIN_KEY"],
            "COMPREFACE_KEYS": "",
            "REKOGNITION_BUCKETS": "",
            "STRICTNESS": "0.3",
            "KEEP_CROPS": "on",
            "POWERTOOLS_METRICS_DISABLED": "true",
        }
        assert found["Concurrency"]["ReservedConcurrentExecutions"] == 3
        assert client("lambda").get_alias(FunctionName=CLASSIFY, Name="provisioned")["FunctionVersion"] == "1"
        groups = client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{CLASSIFY}")["logGroups"]
        assert [group["retentionInDays"] for group in groups] == [30]

    def test_role_may_read_the_models_and_change_collections(self, client: Any) -> None:
        role = role_of(client)
        assert permissions(client("iam"), role) == [
            (["s3:GetObject"], "arn:aws:s3:::our-models/networks/*"),
            (["s3:ListBucket"], "arn:aws:s3:::our-models"),
            (["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], "arn:aws:s3:::our-models/galleries/*"),
            (["s3:ListBucket"], "arn:aws:s3:::our-models"),
        ]
        assert client("iam").list_attached_role_policies(RoleName=role)["AttachedPolicies"] == []

    def test_the_gateway(self, client: Any) -> None:
        gateway = client("apigateway")
        (api,) = gateway.get_rest_apis()["items"]
        assert api["binaryMediaTypes"] == ["*/*"]
        assert api["endpointConfiguration"]["types"] == ["REGIONAL"]
        assert deployed_routes(gateway, api["id"]) == WITH_KEYS
        for kind in ("DEFAULT_4XX", "DEFAULT_5XX", "REQUEST_TOO_LARGE"):
            answer = gateway.get_gateway_response(restApiId=api["id"], responseType=kind)
            assert answer["responseParameters"]["gatewayresponse.header.Access-Control-Allow-Origin"] == "'*'"
        settings = gateway.get_stage(restApiId=api["id"], stageName="dev")["methodSettings"]["*/*"]
        assert (settings["throttlingRateLimit"], settings["throttlingBurstLimit"]) == (5, 9)

    def test_the_keys(self, client: Any) -> None:
        gateway = client("apigateway")
        (plan,) = gateway.get_usage_plans()["items"]
        assert plan["quota"] == {"limit": 100000, "period": "MONTH"}
        assert (plan["throttle"]["rateLimit"], plan["throttle"]["burstLimit"]) == (5, 9)
        readers, admin = gateway.get_usage_plan_keys(usagePlanId=plan["id"])["items"]
        assert readers["name"] == "face-recognition-dev"
        assert readers["value"] != admin["value"] == variables(client)["ADMIN_KEY"]

    def test_the_bucket(self, client: Any) -> None:
        s3 = client("s3")
        assert s3.get_bucket_versioning(Bucket="our-models")["Status"] == "Enabled"
        rules = s3.get_bucket_encryption(Bucket="our-models")["ServerSideEncryptionConfiguration"]["Rules"]
        assert rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
        assert set(s3.get_public_access_block(Bucket="our-models")["PublicAccessBlockConfiguration"].values()) == {True}
        tidy, forget = s3.get_bucket_lifecycle_configuration(Bucket="our-models")["Rules"]
        assert (tidy["Filter"]["Prefix"], tidy["NoncurrentVersionExpiration"]) == ("", {"NoncurrentDays": 365})
        assert forget == FORGET

    def test_the_alarms(self, client: Any) -> None:
        alarms = {alarm["MetricName"]: alarm for alarm in client("cloudwatch").describe_alarms()["MetricAlarms"]}
        assert sorted(alarms) == ["Duration", "Errors", "Failures-dev", "Throttles"]
        assert (alarms["Duration"]["ExtendedStatistic"], alarms["Duration"]["Threshold"]) == ("p99", 5000)
        (topic,) = {action for alarm in alarms.values() for action in alarm["AlarmActions"]}
        (mail,) = client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
        assert (mail["Protocol"], mail["Endpoint"]) == ("email", "ops@example.com")
        (filtered,) = client("logs").describe_metric_filters(logGroupName=f"/aws/lambda/{CLASSIFY}")["metricFilters"]
        assert filtered["filterPattern"] == "{ $.status >= 500 }"

    def test_publish_a_model(self, aws: dict[str, str], cloned: Path) -> None:
        run_documented(documented("make publish MODEL_URI=s3://our-models/networks"), cloned, aws)

    def test_info_update_and_rollback(self, aws: dict[str, str], cloned: Path, client: Any) -> None:
        assert "stack: face-recognition-dev" in run_sls(aws, "info", *params(*ALL), MODEL_URI="")
        deploy = documented("make deploy", extra=f'ARGS="{AS_DEPLOYED}"')
        updated = run_documented(
            deploy,
            cloned,
            aws,
            CORS_ORIGIN="https://other.example",
            MODEL_URI="s3://our-models/networks",
            ADMIN_KEY=variables(client)["ADMIN_KEY"],
        )
        assert "publish a model" not in updated
        assert variables(client)["CORS_ORIGIN"] == "https://other.example"
        listed = run_documented(documented("npx sls deploy list", extra=AS_DEPLOYED), cloned, aws)
        times = re.findall(r"Timestamp: (\d+)", listed)
        assert len(times) == 2
        back = documented(
            "npx sls rollback --timestamp 1795540806067", replace={"1795540806067": times[0]}, extra=AS_DEPLOYED
        )
        run_documented(back, cloned, aws)
        assert variables(client)["CORS_ORIGIN"] == "https://page.example"

    def test_the_log(self, aws: dict[str, str], cloned: Path, client: Any) -> None:
        """Follow the log until Ctrl-C."""
        group = {"logGroupName": f"/aws/lambda/{CLASSIFY}", "logStreamName": "one"}
        client("logs").create_log_stream(**group)
        now = int(time.time() * 1000)
        client("logs").put_log_events(**group, logEvents=[{"timestamp": now, "message": "a line of the log"}])
        with begin(documented("npx sls logs -f classify --tail", extra=AS_DEPLOYED), cloned, **aws) as process:
            assert process.stdout is not None
            end = threading.Timer(60, os.killpg, (process.pid, signal.SIGINT))
            end.start()
            found = any("a line of the log" in line for line in process.stdout)
            end.cancel()
            if found:
                os.killpg(process.pid, signal.SIGINT)
            assert found, process.communicate()[1]

    def test_remove_keeps_the_models(self, aws: dict[str, str], cloned: Path, client: Any) -> None:
        run_documented(documented("npx sls remove", extra=AS_DEPLOYED), cloned, aws)
        assert client("lambda").list_functions()["Functions"] == []
        assert client("apigateway").get_rest_apis()["items"] == []
        stacks = client("cloudformation").list_stacks(StackStatusFilter=["CREATE_COMPLETE", "UPDATE_COMPLETE"])
        assert stacks["StackSummaries"] == []
        client("s3").head_object(Bucket="our-models", Key="networks/latest.json")

    def test_existing_bucket_is_used_with_model_uri(self, aws: dict[str, str]) -> None:
        output = failed_output("deploy", *params("bucket=our-models"), **aws, IMAGE_URI=IMAGE, MODEL_URI="")
        locations = "MODEL_URI=s3://our-models/networks and GALLERY_URI=s3://our-models/galleries"
        assert f"use it with {locations} instead of --param bucket." in output

    def test_documented_lifecycle_rule(self, client: Any) -> None:
        """The documents show the rule for a bucket that the stack does not create."""
        (rules,) = re.findall(r"```json\n(\{\"Rules\".*?)```", (ROOT / "docs/deploy.md").read_text(), re.DOTALL)
        client("s3").put_bucket_lifecycle_configuration(Bucket="our-models", LifecycleConfiguration=json.loads(rules))
        assert client("s3").get_bucket_lifecycle_configuration(Bucket="our-models")["Rules"] == [FORGET]


def test_an_http_api(aws: dict[str, str], client: Any) -> None:
    run_sls(aws, "deploy", *params("front=http", "rate=7"), "--stage", "second")
    gateway = client("apigatewayv2")
    (api,) = gateway.get_apis()["Items"]
    assert [route["RouteKey"] for route in gateway.get_routes(ApiId=api["ApiId"])["Items"]] == ["$default"]
    assert "CorsConfiguration" not in api  # or API Gateway would answer preflight requests in place of the service
    (stage,) = gateway.get_stages(ApiId=api["ApiId"])["Items"]
    assert stage["DefaultRouteSettings"]["ThrottlingRateLimit"] == 7


def test_a_function_url(aws: dict[str, str], client: Any) -> None:
    run_sls(aws, "deploy", *params("front=url"), "--stage", "third")
    found = client("lambda").get_function_url_config(FunctionName="face-recognition-third-classify")
    assert found["AuthType"] == "NONE"
    assert "Cors" not in found  # as above, and the URL passes PUT, PATCH and DELETE


def test_photos_in_a_bucket(aws: dict[str, str], cloned: Path, client: Any) -> None:
    client("s3").create_bucket(Bucket="my-photos", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    command = documented("PHOTOS_BUCKET=my-photos npx sls deploy --param bulk=on", extra="--stage fourth")
    run_documented(command, cloned, aws)
    assert client("lambda").get_function(FunctionName="face-recognition-fourth-bulk")


def test_clients_of_rekognition_and_compreface(aws: dict[str, str], cloned: Path, client: Any) -> None:
    client("s3").create_bucket(Bucket="our-photos", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    command = documented(
        'REKOGNITION_BUCKETS=our-photos make deploy ARGS="--param bucket=our-models"',
        replace={"bucket=our-models": "bucket=models-of-fifth --stage fifth"},
    )
    command = documented("export COMPREFACE_KEYS=$(openssl rand -hex 32)=staff") + f" && {command}"
    output = run_documented(command, cloned, aws)
    assert "Without API_KEY, anyone can use the service on the photos in REKOGNITION_BUCKETS." in output
    function = "face-recognition-fifth-classify"
    assert re.fullmatch("[0-9a-f]{64}=staff", variables(client, function)["COMPREFACE_KEYS"])
    assert variables(client, function)["REKOGNITION_BUCKETS"] == "our-photos"
    assert permissions(client("iam"), role_of(client, function))[-2:] == [
        (["s3:GetObject", "s3:GetObjectVersion"], "arn:aws:s3:::our-photos/*"),
        (["s3:ListBucket"], "arn:aws:s3:::our-photos"),
    ]
    gateway = client("apigateway")
    (api,) = [found for found in gateway.get_rest_apis()["items"] if found["name"] == "fifth-face-recognition"]
    assert deployed_routes(gateway, api["id"]) == WITHOUT_KEYS


def test_a_database(aws: dict[str, str], client: Any) -> None:
    ec2 = client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(VpcId=vpc, GroupName="functions", Description="functions")["GroupId"]
    network = params(f"subnets={subnet}", f"securityGroups={group}")
    run_sls(aws, "deploy", *network, "--stage", "sixth", MODEL_URI="", GALLERY_URI=DATABASE)
    function = "face-recognition-sixth-classify"
    found = client("lambda").get_function(FunctionName=function)["Configuration"]["VpcConfig"]
    assert (found["SubnetIds"], found["SecurityGroupIds"]) == ([subnet], [group])
    role = role_of(client, function)
    ((actions, resource),) = permissions(client("iam"), role, "rds-db")
    assert actions == ["rds-db:connect"]
    assert re.fullmatch(r"arn:aws:rds-db:eu-central-1:\d{12}:dbuser:\*/faces", resource)
    assert permissions(client("iam"), role) == []


class TestFronts:
    """Routes of the packaged fronts, and requests through a gateway with those of the REST API to the function."""

    @pytest.fixture(scope="class")
    def events(self) -> list[dict[str, Any]]:
        """The events that the function gets."""
        return []

    @pytest.fixture(scope="class")
    def function(self, events: list[dict[str, Any]]) -> Callable[[dict], Any]:
        app = create_app(Settings(metrics=False))

        def answer(event: dict) -> dict[str, Any]:
            events.append(event)
            return app.handle(event, SimpleNamespace(aws_request_id="request-1"))

        return answer

    @pytest.mark.parametrize("settings, routes", [([], WITHOUT_KEYS), (["keys=on"], WITH_KEYS)])
    def test_rest_api(self, settings: list[str], routes: Routes, tmp_path: Path) -> None:
        resources, _ = package(tmp_path, *settings)
        assert packaged_routes(resources) == routes
        # A deployment has only the gateway's responses that were there before.
        (deployment,) = of_type(resources, "AWS::ApiGateway::Deployment")
        responses = {name for name in resources if resources[name]["Type"] == "AWS::ApiGateway::GatewayResponse"}
        assert "ApiGatewayMethodAny" in deployment["DependsOn"]
        assert responses <= set(resources["ApiGatewayMethodAny"]["DependsOn"])

    def test_http_api(self, tmp_path: Path) -> None:
        resources, _ = package(tmp_path, "front=http")
        (route,) = of_type(resources, "AWS::ApiGatewayV2::Route")
        assert route["Properties"]["RouteKey"] == "$default"  # every path, also the root

    def test_function_url(self, tmp_path: Path) -> None:
        resources, _ = package(tmp_path, "front=url")
        assert len(of_type(resources, "AWS::Lambda::Url")) == 1  # has no routes
        assert not [name for name in resources if "ApiGateway" in resources[name]["Type"]]

    def test_root(self, function: Callable[[dict], Any], events: list[dict[str, Any]]) -> None:
        """Clients of AWS send all requests there, and sign path, host and body as they send them."""
        headers = {"X-Amz-Target": "RekognitionService.ListCollections", "Content-Type": "application/x-amz-json-1.1"}
        with serving(function, stage="dev", routes=WITHOUT_KEYS) as url:
            send(f"{url}/", "POST", headers, b'{"MaxResults":  1}')
        event = events[-1]
        assert (event["httpMethod"], event["path"], event["requestContext"]["path"]) == ("POST", "/", "/dev/")
        assert (event["resource"], event["pathParameters"]) == ("/", None)
        assert base64.b64decode(event["body"]) == b'{"MaxResults":  1}'
        assert f"http://{event['headers']['Host']}/dev" == url

    def test_path_of_compreface(self, function: Callable[[dict], Any], events: list[dict[str, Any]]) -> None:
        with serving(function, stage="dev", routes=WITHOUT_KEYS) as url:
            send(f"{url}/api/v1/recognition/subjects/", "GET", {"x-api-key": "of-nobody"})
        assert (events[-1]["path"], events[-1]["resource"]) == ("/api/v1/recognition/subjects/", "/{proxy+}")

    def test_keys_of_the_gateway(self, function: Callable[[dict], Any], events: list[dict[str, Any]]) -> None:
        with serving(function, stage="dev", routes=WITH_KEYS, keys=["of-reader"]) as url:
            before = len(events)
            for path in ("/", "/people"):
                assert send(f"{url}{path}", "GET", {}) == (403, {"message": "Forbidden"})
                assert send(f"{url}{path}", "GET", {"X-Api-Key": "another"}) == (403, {"message": "Forbidden"})
            assert len(events) == before
            for path in ("/", "/people"):
                send(f"{url}{path}", "GET", {"X-Api-Key": "of-reader"})
                send(f"{url}{path}", "OPTIONS", {"Origin": "https://page.example"})
            assert len(events) == before + 4

    def test_request_that_is_too_large(self, tmp_path: Path) -> None:
        """Every client finds the sentence where it looks for an error."""
        resources, _ = package(tmp_path)
        limits = resources["GatewayLimits"]["Properties"]
        assert limits["ResponseType"] == "REQUEST_TOO_LARGE"
        text = limits["ResponseTemplates"]["application/json"]
        body = json.loads(text)
        assert (body["code"], body["error"]["code"]) == (0, "too_large")
        assert "4.5 MB in a form, or 3.3 MB as base64" in body["message"]
        check({"$ref": "#/components/schemas/Error"}, {name: body[name] for name in ("error", "request_id")})
        detect = botocore.session.get_session().get_service_model("rekognition").operation_model("DetectFaces")
        response = {"status_code": 413, "headers": {}, "body": text.encode(), "context": {}}
        error = create_parser("json").parse(response, detect.output_shape)["Error"]
        assert error == {"Code": "ImageTooLargeException", "Message": body["message"]}
        assert body["error"]["message"] == body["message"]


class TestPackage:
    """The template and messages of `sls package` for collections that change at runtime."""

    @pytest.mark.parametrize(
        "settings, environment",
        [
            (["bucket=our-models", "bulk=on"], {}),
            (
                ["bucket=our-models"],
                {"MODEL_URI": "s3://our-models/people/networks", "GALLERY_URI": "s3://our-models/people2"},
            ),
            ([], {"MODEL_URI": "s3://our-models/a", "GALLERY_URI": "s3://our-galleries"}),
        ],
    )
    def test_no_network_can_be_written(self, settings: list[str], environment: dict[str, str], tmp_path: Path) -> None:
        environment = {"MODEL_URI": "", "GALLERY_URI": "", "PHOTOS_BUCKET": "our-photos", **environment}
        resources, _ = package(tmp_path, *settings, **environment)
        variables = resources["ClassifyLambdaFunction"]["Properties"]["Environment"]["Variables"]
        networks, galleries = (f"{variables[name]}/a/model.pt"[len("s3://") :] for name in ("MODEL_URI", "GALLERY_URI"))
        (policy,) = resources["IamRoleLambdaExecution"]["Properties"]["Policies"]
        writable = [
            resource["Fn::Sub"].partition(":s3:::")[2]
            for one in policy["PolicyDocument"]["Statement"]
            if "s3:" in str(one["Action"]) and not set(one["Action"]) <= READ
            for resource in (one["Resource"] if isinstance(one["Resource"], list) else [one["Resource"]])
        ]
        assert any(fnmatchcase(galleries, pattern) for pattern in writable)
        assert not any(fnmatchcase(networks, pattern) for pattern in writable)

    def test_listing_is_limited_to_the_prefixes(self, tmp_path: Path) -> None:
        resources, _ = package(tmp_path, "bucket=our-models", MODEL_URI="", GALLERY_URI="")
        (policy,) = resources["IamRoleLambdaExecution"]["Properties"]["Policies"]
        listing = [one for one in policy["PolicyDocument"]["Statement"] if one["Action"] == ["s3:ListBucket"]]
        conditions = [one["Condition"]["StringLike"]["s3:prefix"] for one in listing]
        assert conditions == ["networks/*", "galleries/*"]

    @pytest.mark.parametrize(
        "uri, prefix",
        [
            ("galleries", "galleries/"),
            ("s3://our-models/live", "live/"),
            ("s3://other/live", "galleries/"),
            (DATABASE, "galleries/"),
        ],
    )
    def test_old_versions_of_collections_expire(self, uri: str, prefix: str, tmp_path: Path) -> None:
        resources, _ = package(tmp_path, "bucket=our-models", MODEL_URI="", GALLERY_URI=uri)
        rules = resources["Models"]["Properties"]["LifecycleConfiguration"]["Rules"]
        (forget,) = [rule for rule in rules if rule["Id"] == "forget"]
        assert forget["Prefix"] == prefix

    def test_no_collections_without_a_bucket(self, tmp_path: Path) -> None:
        key = "0123456789abcdef"
        resources, output = package(tmp_path, MODEL_URI="", GALLERY_URI="galleries", ADMIN_KEY=key, API_KEY="")
        variables = resources["ClassifyLambdaFunction"]["Properties"]["Environment"]["Variables"]
        assert (variables["GALLERY_URI"], variables["ADMIN_KEY"]) == ("", key)
        assert "s3:" not in json.dumps(resources["IamRoleLambdaExecution"])
        assert (
            "ADMIN_KEY is set, but changes have no place to be stored and get read_only: set GALLERY_URI=s3" in output
        )

    def test_keys_for_compreface_without_a_bucket(self, tmp_path: Path) -> None:
        keys = "0123456789abcdef=staff,123456789abcdef0=guests"
        resources, output = package(tmp_path, MODEL_URI="", GALLERY_URI="", ADMIN_KEY="", COMPREFACE_KEYS=keys)
        variables = resources["ClassifyLambdaFunction"]["Properties"]["Environment"]["Variables"]
        assert variables["COMPREFACE_KEYS"] == keys
        assert "COMPREFACE_KEYS are set, but changes have no place to be stored and get read_only" in output

    def test_a_database(self, tmp_path: Path) -> None:
        """All functions run in its network, and log in with IAM."""
        settings = ["bucket=our-models", "bulk=on", *NETWORK]
        environment = {"MODEL_URI": "", "GALLERY_URI": DATABASE, "PHOTOS_BUCKET": "our-photos"}
        resources, output = package(tmp_path, *settings, **environment)
        for name in ("ClassifyLambdaFunction", "BulkLambdaFunction", "BatchLambdaFunction"):
            properties = resources[name]["Properties"]
            assert properties["VpcConfig"] == {
                "SubnetIds": ["subnet-0123456789abcdef0", "subnet-01234567"],
                "SecurityGroupIds": ["sg-0123456789abcdef0"],
            }
            assert properties["Environment"]["Variables"]["GALLERY_URI"] == DATABASE
        role = resources["IamRoleLambdaExecution"]["Properties"]
        assert "service-role/AWSLambdaVPCAccessExecutionRole" in json.dumps(role["ManagedPolicyArns"])
        statements = role["Policies"][0]["PolicyDocument"]["Statement"]
        (login,) = [one for one in statements if one["Action"] == ["rds-db:connect"]]
        users = "arn:${AWS::Partition}:rds-db:${AWS::Region}:${AWS::AccountId}:dbuser:*/faces"
        assert (login["Effect"], login["Resource"]) == ("Allow", {"Fn::Sub": users})
        assert "our-models/networks" in json.dumps(statements)
        assert "galleries" not in json.dumps(statements)
        assert "Warning" not in output

    def test_a_database_with_a_password(self, tmp_path: Path) -> None:
        resources, output = package(tmp_path, MODEL_URI="", GALLERY_URI=WITH_PASSWORD)
        properties = resources["ClassifyLambdaFunction"]["Properties"]
        assert properties["Environment"]["Variables"]["GALLERY_URI"] == WITH_PASSWORD
        assert not re.search("rds-db|vpc", json.dumps(resources), re.IGNORECASE)
        assert "Without --param subnets, the function only reaches a database that is reachable from the" in output
        assert "GALLERY_URI contains a password, which everyone who may read the function's configuration" in output
        assert PASSWORD not in output

    def test_offline_may_use_a_folder(self) -> None:
        printed = sls("print", *params("where=local"), GALLERY_URI="/tmp/galleries", ADMIN_KEY="short", COLLECTION="")
        assert printed.returncode == 0, printed.stdout + printed.stderr
        variables = yaml.safe_load(printed.stdout)["provider"]["environment"]
        assert (variables["GALLERY_URI"], variables["ADMIN_KEY"]) == ("/tmp/galleries", "short")
        assert variables["COLLECTION"] == ""

    def test_default_collection(self, tmp_path: Path) -> None:
        for folder, settings, expected in (("a", ["collection=staff"], "staff"), ("b", [], "guests")):
            resources, _ = package(tmp_path / folder, *settings, COLLECTION="guests")
            variables = resources["ClassifyLambdaFunction"]["Properties"]["Environment"]["Variables"]
            assert variables["COLLECTION"] == expected


class TestWrongSettings:
    """Wrong settings are reported in a sentence before anything is created."""

    @pytest.mark.parametrize(
        "settings, why",
        [
            (["memory=lots"], "--param memory=lots: must be a whole number, at least 512 and at most 10240."),
            (["memory=128"], "at least 512"),
            (["memory=0x400"], "--param memory=0x400: must be a whole number"),
            (["memory="], "--param memory=: write --param NAME=VALUE."),
            (["front=rets"], "--param front=rets: must be one of rest, http, url."),
            (["front=http", "keys=on"], "Only a REST API has keys: use front=rest, or set API_KEY"),
            (["wram=1"], "There is no parameter wram. The parameters are where, front,"),
            (["__proto__=1"], "There is no parameter __proto__."),
            (["warm=3", "reserved=2"], "--param warm=3: must not be more than --param reserved=2."),
            (["bucket=Our_Models"], "--param bucket=Our_Models: must be a bucket name of 3 to 63"),
            (["alarms=ops"], "--param alarms=ops: must be an e-mail address."),
            (["logs=31"], "--param logs=31: must be one of 1, 3, 5, 7, 14, 30,"),
            (["strictness=2"], "--param strictness=2: must be one of 0.1, 0.3, 1, 3."),
            (["slow=0", "metrics=yes"], "--param slow=0: must be a whole number, at least 1."),
            (["slow=0", "metrics=yes"], "--param metrics=yes: must be one of off, on."),
            (["collection=our people"], "--param collection=our people: must be a name of 1 to 255 letters, digits,"),
            (["collection=.."], "underscores, not only dots."),
            (["bulk=on"], "--param bulk=on needs PHOTOS_BUCKET"),
            (["where=local"], "cannot be deployed"),
            (["subnets=subnet-01234567, subnet-12345678"], "12345678: must be at most 16 IDs such as subnet-0123"),
            (["securityGroups=subnet-01234567"], "=subnet-01234567: must be at most 5 IDs such as sg-0123"),
            (NETWORK[:1], "--param subnets and --param securityGroups belong together: set both or neither."),
            (NETWORK[1:], "--param subnets and --param securityGroups belong together: set both or neither."),
        ],
    )
    def test_wrong_setting(self, settings: list[str], why: str) -> None:
        assert why in failed_output("package", *params(*settings), PHOTOS_BUCKET="")

    def test_wrong_stage(self) -> None:
        assert "Stage names may contain only ASCII letters, numbers, and hyphens" in failed_output(
            "package", "--stage", "a_b"
        )
        assert f"The stage name {'a' * 24} is longer than 23 characters." in failed_output(
            "package", "--stage", "a" * 24
        )

    @pytest.mark.parametrize(
        "model, galleries, settings",
        [
            ("s3://b/people", "s3://b/people", []),
            ("s3://b/people/networks/", "s3://b/people", []),
            ("s3://b/networks", "s3://b//networks/galleries", []),
            ("s3://b", "s3://b/galleries", []),
            ("models", "s3://our-models", ["bucket=our-models"]),
            ("s3://our-models/galleries/a", "", ["bucket=our-models"]),
        ],
    )
    def test_collections_beside_the_model(self, model: str, galleries: str, settings: list[str]) -> None:
        output = failed_output("package", *params(*settings), MODEL_URI=model, GALLERY_URI=galleries)
        assert "overlap: choose separate prefixes, because the function may write collections, but never a" in output

    @pytest.mark.parametrize("uri", ["s3://", "s3:///galleries", "s3://b/*", "s3://b/galleri?s", "s3://b/${a}"])
    def test_wrong_gallery_uri(self, uri: str) -> None:
        output = failed_output("package", MODEL_URI="", GALLERY_URI=uri)
        assert f"GALLERY_URI={uri}: must have the form s3://bucket/prefix" in output

    @pytest.mark.parametrize(
        "rest, why",
        [
            ("db.example/faces", "must have the form postgresql://user@host:5432/database. The user consists of"),
            (f"a*b:{PASSWORD}@db.example/faces", "The user consists of letters, digits, dots, hyphens and"),
            (f"faces:{PASSWORD}@:5432/faces", "must have the form postgresql://user@host:5432/database."),
            (f"faces:{PASSWORD}@db.example:5432/", "must have the form postgresql://user@host:5432/database."),
            (f"faces:100%{PASSWORD}@db.example/faces", "In a password, write %40 for @, %2F for /, %25 for % and %24"),
            (f"faces:{PASSWORD}${{self:service}}@db.example/faces", "In a password, write %40 for @"),
            (f"faces@db.example/faces?password={PASSWORD}", "Write none of user, password, host, port, dbname after"),
        ],
    )
    def test_wrong_uri_of_a_database(self, rest: str, why: str) -> None:
        output = failed_output("package", MODEL_URI="", GALLERY_URI=f"postgresql://{rest}")
        assert "GALLERY_URI must have the form postgresql://user@host:5432/database. " in output
        assert why in output
        assert PASSWORD not in output

    @pytest.mark.parametrize(
        "key, settings, why",
        [
            ("0123456789abcde", [], "ADMIN_KEY is shorter than 16 characters: use a random one"),
            ("key-of-the-readers", [], "ADMIN_KEY is the same as API_KEY, so every reader could make changes"),
            ("0123456789abcdef", ["keys=on"], "With keys=on, ADMIN_KEY must have 20 to 128 characters"),
        ],
    )
    def test_wrong_admin_key(self, key: str, settings: list[str], why: str) -> None:
        output = failed_output("package", *params(*settings), MODEL_URI="", ADMIN_KEY=key, API_KEY="key-of-the-readers")
        assert why in output
        assert key not in output

    @pytest.mark.parametrize(
        "keys, settings, why",
        [
            (
                "0123456789abcdef",
                [],
                "COMPREFACE_KEYS, entry 1: must have the form KEY=COLLECTION, with a comma between",
            ),
            ("0123456789abcdef=staff,", [], "COMPREFACE_KEYS, entry 2: must have the form KEY=COLLECTION"),
            ("0123456789abcdef=a, 123456789abcdef0=b", [], "entry 2: must have the form KEY=COLLECTION"),
            ("0123456789abcdef==staff", [], "entry 1: must have the form KEY=COLLECTION"),
            ("0123456789abcde=staff", [], "COMPREFACE_KEYS, entry 1: the key is shorter than 16 characters: use a"),
            ("0123456789abcdef=our people", [], "entry 1: the collection must be a name of 1 to 255 letters, digits,"),
            ("0123456789abcdef=", [], "entry 1: the collection must be a name of 1 to 255"),
            ("0123456789abcdef=a,0123456789abcdef=b", [], "COMPREFACE_KEYS has the same key twice: use one for each"),
            (
                "key-of-the-readers=a",
                [],
                "A key in COMPREFACE_KEYS is the same as API_KEY or ADMIN_KEY: choose another.",
            ),
            ("key-of-administrators=a", [], "A key in COMPREFACE_KEYS is the same as API_KEY or ADMIN_KEY"),
            ("0123456789abcdef=a", ["keys=on"], "With keys=on, API Gateway refuses every key that is not in its usage"),
        ],
    )
    def test_wrong_compreface_keys(self, keys: str, settings: list[str], why: str) -> None:
        others = {"API_KEY": "key-of-the-readers", "ADMIN_KEY": "key-of-administrators"}
        output = failed_output("package", *params(*settings), MODEL_URI="", COMPREFACE_KEYS=keys, **others)
        assert why in output
        assert keys.partition("=")[0] not in output

    @pytest.mark.parametrize(
        "buckets, settings, why",
        [
            ("Our_Photos", [], 'REKOGNITION_BUCKETS, "Our_Photos": must be a bucket name of 3 to 63 lower-case'),
            ("our-photos, more-photos", [], 'REKOGNITION_BUCKETS, " more-photos": must be a bucket name'),
            ("our-photos,", [], 'REKOGNITION_BUCKETS, "": must be a bucket name'),
            ("our-photos/*", [], 'REKOGNITION_BUCKETS, "our-photos/*": must be a bucket name'),
            (
                "our-photos,our-models",
                ["bucket=our-models"],
                "has the bucket of s3://our-models/galleries: use another",
            ),
            ("our-photos", ["keys=on"], "With keys=on, API Gateway refuses Rekognition's clients, which sign their"),
        ],
    )
    def test_wrong_rekognition_buckets(self, buckets: str, settings: list[str], why: str) -> None:
        environment = {"MODEL_URI": "", "GALLERY_URI": "", "REKOGNITION_BUCKETS": buckets}
        assert why in failed_output("package", *params(*settings), **environment)

    def test_wrong_default_collection(self) -> None:
        output = failed_output("package", MODEL_URI="", COLLECTION="our people")
        assert "collection=our people: must be a name of 1 to 255 letters" in output

    def test_model_outside_the_docker_context(self) -> None:
        assert "MODEL_URI=/tmp cannot be baked into the image" in failed_output("package", MODEL_URI="/tmp")
        assert "There is no model in runs/none/model" in failed_output("package", MODEL_URI="runs/none/model")

    def test_no_docker(self, aws: dict[str, str], tmp_path: Path) -> None:
        docker = tmp_path / "docker"
        docker.write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 1\n")
        docker.chmod(0o755)
        path = f"{tmp_path}:{os.environ['PATH']}"
        assert "Building the image needs Docker, but Docker is not running." in failed_output(
            "deploy", **aws, IMAGE_URI="", MODEL_URI="", PATH=path
        )

    def test_no_credentials(self, aws: dict[str, str], tmp_path: Path) -> None:
        no_credentials = {
            "AWS_ENDPOINT_URL": aws["AWS_ENDPOINT_URL"],
            "HOME": str(tmp_path),
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        output = failed_output("deploy", **no_credentials, IMAGE_URI=IMAGE, MODEL_URI="")
        assert "AWS does not know who you are. Set AWS_PROFILE" in output

    def test_no_model(self, aws: dict[str, str], client: Any) -> None:
        client("s3").create_bucket(Bucket="empty", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        output = failed_output("deploy", **aws, IMAGE_URI=IMAGE, MODEL_URI="s3://empty/networks")
        assert "There is no model at s3://empty/networks (NoSuchKey): publish one" in output
        assert "(NoSuchBucket)" in failed_output("deploy", **aws, IMAGE_URI=IMAGE, MODEL_URI="s3://nowhere/networks")

    def test_missing_bucket_for_photos(self, aws: dict[str, str]) -> None:
        output = failed_output(
            "deploy", *params("bulk=on"), **aws, IMAGE_URI=IMAGE, MODEL_URI="", PHOTOS_BUCKET="nobodys"
        )
        assert "PHOTOS_BUCKET=nobodys is not a bucket of yours" in output

    def test_missing_bucket_for_collections(self, aws: dict[str, str]) -> None:
        output = failed_output("deploy", **aws, IMAGE_URI=IMAGE, MODEL_URI="", GALLERY_URI="s3://nobodys/people")
        assert "GALLERY_URI=s3://nobodys/people: nobodys is not a bucket of yours: create it first." in output

    def test_existing_bucket_beside_a_database(self, aws: dict[str, str], client: Any) -> None:
        client("s3").create_bucket(Bucket="kept", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        environment = {**aws, "IMAGE_URI": IMAGE, "MODEL_URI": "", "GALLERY_URI": WITH_PASSWORD}
        output = failed_output("deploy", *params("bucket=kept"), **environment)
        assert "use it with MODEL_URI=s3://kept/networks instead of --param bucket." in output
        assert PASSWORD not in output

    def test_missing_bucket_for_rekognition(self, aws: dict[str, str]) -> None:
        output = failed_output("deploy", **aws, IMAGE_URI=IMAGE, MODEL_URI="", REKOGNITION_BUCKETS="nobodys")
        assert "REKOGNITION_BUCKETS: there is no bucket nobodys." in output

    def test_nothing_was_created(self, client: Any) -> None:
        stacks = client("cloudformation").list_stacks()["StackSummaries"]
        assert all(
            stack["StackName"] != "face-recognition-dev" or stack["StackStatus"] == "DELETE_COMPLETE"
            for stack in stacks
        )


def script(name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    others = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    command = [sys.executable, f"scripts/{name}.py", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={**others, **environment}, capture_output=True, text=True, timeout=300, check=False
    )


class TestPage:
    ENDPOINT = "https://abc.execute-api.eu-central-1.amazonaws.com/dev"

    @pytest.fixture(scope="class")
    def bucket(self, aws: dict[str, str], cloned: Path, client: Any) -> str:
        output = run_documented(documented("make deploy-web"), cloned, aws, URL=self.ENDPOINT)
        assert f"the page calls {self.ENDPOINT}" in output
        return self.outputs(client)["Bucket"]

    def outputs(self, client: Any) -> dict[str, str]:
        (stack,) = client("cloudformation").describe_stacks(StackName="face-recognition-dev-page")["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def test_uploaded_files(self, bucket: str, client: Any) -> None:
        s3 = client("s3")
        files = {path.relative_to(ROOT / "web").as_posix() for path in (ROOT / "web").rglob("*") if path.is_file()}
        assert {found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]} == files
        page = s3.get_object(Bucket=bucket, Key="index.html")
        assert (page["ContentType"], page["CacheControl"]) == ("text/html; charset=utf-8", "no-cache")
        code = s3.get_object(Bucket=bucket, Key="app.js")
        assert (code["ContentType"], code["CacheControl"]) == ("text/javascript; charset=utf-8", "no-cache")
        assert s3.get_object(Bucket=bucket, Key="samples/astronaut.jpg")["CacheControl"] == "public, max-age=86400"
        config = s3.get_object(Bucket=bucket, Key="config.js")
        assert config["CacheControl"] == "no-cache"
        assert f'window.ENDPOINT = "{self.ENDPOINT}";' in config["Body"].read().decode()

    def test_only_cloudfront_may_read_the_files(self, bucket: str, client: Any) -> None:
        assert set(client("s3").get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values()) == {
            True
        }
        outputs = self.outputs(client)
        found = client("cloudfront").get_distribution(Id=outputs["Distribution"])["Distribution"]
        assert outputs["Url"] == f"https://{found['DomainName']}"
        (origin,) = found["DistributionConfig"]["Origins"]["Items"]
        assert origin["DomainName"].startswith(bucket)
        # moto does not store the access control of an origin, so check the only one that exists.
        (access,) = client("cloudfront").list_origin_access_controls()["OriginAccessControlList"]["Items"]
        assert (access["Name"], access["SigningBehavior"]) == ("face-recognition-dev-page", "always")
        assert found["DistributionConfig"]["DefaultCacheBehavior"]["ViewerProtocolPolicy"] == "redirect-to-https"
        assert (
            client("cloudfront").list_invalidations(DistributionId=outputs["Distribution"])["InvalidationList"][
                "Quantity"
            ]
            == 1
        )

    def test_removed_files_are_deleted_by_the_next_deployment(
        self, aws: dict[str, str], bucket: str, client: Any
    ) -> None:
        client("s3").put_object(Bucket=bucket, Key="old.js", Body=b"")
        assert script("deploy_web", URL=self.ENDPOINT, **aws).returncode == 0
        assert "old.js" not in {found["Key"] for found in client("s3").list_objects_v2(Bucket=bucket)["Contents"]}

    def test_remove(self, aws: dict[str, str], bucket: str, client: Any) -> None:
        done = script("deploy_web", "--remove", **aws)
        assert done.returncode == 0, done.stderr
        with pytest.raises(ClientError, match="404"):
            client("s3").head_bucket(Bucket=bucket)

    def test_s3_website(self, aws: dict[str, str], client: Any) -> None:
        assert script("deploy_web", "--website", URL=self.ENDPOINT, **aws).returncode == 0
        outputs = self.outputs(client)
        assert "s3-website" in outputs["Url"]
        assert client("s3").get_bucket_website(Bucket=outputs["Bucket"])["IndexDocument"] == {"Suffix": "index.html"}

    def test_without_an_endpoint(self, aws: dict[str, str]) -> None:
        done = script("deploy_web", "--stage", "none", **aws)
        assert done.returncode == 1
        assert "there is no service face-recognition-none in eu-central-1" in done.stderr
        assert script("deploy_web", URL="http://localhost", **aws).returncode == 1


def test_cfn_lint(tmp_path: Path) -> None:
    for name, settings in {"all": ALL, "http": ["front=http"], "url": ["front=url"], "bulk": ["bulk=on"]}.items():
        package(tmp_path / name, *settings, PHOTOS_BUCKET="somebodys-photos", ADMIN_KEY="0123456789abcdef0123")
    package(tmp_path / "buckets", REKOGNITION_BUCKETS="our-photos,more-photos")
    package(tmp_path / "database", *NETWORK, GALLERY_URI=DATABASE)
    # W3005: osls lists dependencies that are already implied by references.
    lint(sorted(tmp_path.glob("*/cloudformation-template-update-stack.json")), "--ignore-checks", "W3005")


def test_cfn_lint_of_the_page() -> None:
    lint(sorted((ROOT / "deploy").glob("page-*.yml")))


def lint(templates: list[Path], *options: str) -> None:
    command = [str(ROOT / ".venv-notebook/bin/cfn-lint"), *options, "--", *map(str, templates)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "")
