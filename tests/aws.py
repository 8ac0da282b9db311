"""moto's server with additions to its CloudFormation, for the tests of `sls deploy`: `python -m tests.aws PORT`.

moto 5.2.5 silently ignores resource types and properties that it does not implement. This module creates them through
moto's own API, so that tests can query them. It runs in the current Python of .venv-notebook, because moto's
CloudFormation cannot be imported in Python 3.8. Additions:

    type or property                                     needed for
    S3 Bucket: versioning, public access, lifecycle      a private and safe model bucket
    RestApi: BinaryMediaTypes, endpoint types, deletion  binary photos; `sls remove` removes everything
    GatewayResponse                                      CORS headers of API Gateway's own responses
    ApiKey, UsagePlan, UsagePlanKey                      --param keys=on
    ApiGatewayV2 Api, Stage, Integration, Route          --param front=http
    Lambda Alias, Url, number of a Version               --param warm=1, --param front=url
    Lambda Function: ReservedConcurrentExecutions, PackageType   --param reserved=3
    MetricFilter, Alarm                                  --param alarms=...
    IAM Role: a changed inline policy                    an update with another MODEL_URI
    CloudFront Distribution, OriginAccessControl         `make deploy-web`
    ValidateTemplate: no errors from cfn-lint's warnings tests/test_deploy.py runs cfn-lint itself
    S3 BucketPolicy                                      only CloudFront may read the page's bucket
    StepFunctions StateMachine: Definition               --param bulk=on
"""

from __future__ import annotations

import json
import sys
from typing import Any, Callable

import boto3
import moto.cloudformation.models
from moto.apigateway.models import RestAPI, apigateway_backends
from moto.awslambda.models import LambdaFunction, LambdaVersion
from moto.core.common_models import CloudFormationModel
from moto.iam.models import Role
from moto.s3.models import FakeBucket
from moto.server import main
from moto.stepfunctions.models import StateMachine
from moto.stepfunctions.responses import get_backend

from tests.aws_resources import ATTRIBUTES, RESOURCE_TYPES, Create, Properties, lifecycle, lower_camel

PORT = sys.argv[1]


def api(service: str, region: str) -> Any:
    """A client of this server."""
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(service, region, endpoint_url=f"http://127.0.0.1:{PORT}", **keys)


class ApiResource:
    """A resource that CloudFormation creates through the API. Subclasses set `service` and `create`."""

    __module__ = "moto.tests"  # moto reads a service's name from it
    service: str
    create: Create

    def __init__(self, physical_id: str) -> None:
        self.physical_resource_id = physical_id

    @staticmethod
    def cloudformation_name_type() -> str:
        return ""

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **more: Any
    ) -> ApiResource:
        logical_id = more.get("LogicalId", resource_name)
        return cls(cls.create(api(cls.service, region_name), logical_id, cloudformation_json.get("Properties", {})))

    @classmethod
    def update_from_cloudformation_json(cls, original_resource: ApiResource, **_: Any) -> ApiResource:
        return original_resource

    def delete(self, account_id: str, region_name: str) -> None:
        """Do nothing: the resource is deleted with the one that it belongs to."""

    def get_cfn_attribute(self, attribute_name: str) -> Any:
        return ATTRIBUTES.get(self.physical_resource_id, {}).get(attribute_name, self.physical_resource_id)


def add_type(kind: str, service: str, create: Create) -> None:
    """Add a resource type to moto's CloudFormation."""
    namespace = {
        "__module__": ApiResource.__module__,
        "cloudformation_type": staticmethod(lambda: kind),
        "service": service,
        "create": staticmethod(create),
    }
    # A direct subclass, as moto requires, and kept, because moto finds subclasses by weak references.
    name = f"ApiResource{kind}"
    globals()[name] = type(CloudFormationModel)(name, (ApiResource, CloudFormationModel), namespace)


def after_creation(kind: Any, then: Callable[[Any, Properties, str], None]) -> None:
    """Call `then` with each resource that moto creates, its properties and its region."""
    create = kind.create_from_cloudformation_json.__func__

    def create_and_continue(cls: Any, name: str, template: Any, account_id: str, region: str, **rest: Any) -> Any:
        resource = create(cls, name, template, account_id, region, **rest)
        then(resource, template.get("Properties", {}), region)
        return resource

    kind.create_from_cloudformation_json = classmethod(create_and_continue)


def configure_bucket(bucket: Any, properties: Properties, region: str) -> None:
    client = api("s3", region)
    for name, method in (
        ("VersioningConfiguration", "put_bucket_versioning"),
        ("PublicAccessBlockConfiguration", "put_public_access_block"),
        ("OwnershipControls", "put_bucket_ownership_controls"),
    ):
        if name in properties:
            getattr(client, method)(Bucket=bucket.name, **{name: properties[name]})
    if "LifecycleConfiguration" in properties:
        rules = lifecycle(properties["LifecycleConfiguration"])
        client.put_bucket_lifecycle_configuration(Bucket=bucket.name, LifecycleConfiguration=rules)
    if "WebsiteConfiguration" in properties:
        index = {"IndexDocument": {"Suffix": properties["WebsiteConfiguration"]["IndexDocument"]}}
        client.put_bucket_website(Bucket=bucket.name, WebsiteConfiguration=index)


def configure_rest_api(rest_api: Any, properties: Properties, region: str) -> None:
    rest_api.binaryMediaTypes = properties.get("BinaryMediaTypes", [])
    rest_api.endpoint_configuration = lower_camel(properties.get("EndpointConfiguration", {}))


def configure_function(function: Any, properties: Properties, region: str) -> None:
    function.package_type = properties.get("PackageType", "Zip")
    if "ReservedConcurrentExecutions" in properties:
        count = properties["ReservedConcurrentExecutions"]
        client = api("lambda", region)
        client.put_function_concurrency(FunctionName=function.function_name, ReservedConcurrentExecutions=count)


def update_role(cls: Any, original_resource: Any, cloudformation_json: Any, **_: Any) -> Any:
    for policy in cloudformation_json["Properties"].get("Policies", []):
        original_resource.put_policy(policy["PolicyName"], policy["PolicyDocument"])
    return original_resource


def create_state_machine(
    cls: Any, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **_: Any
) -> Any:
    """Create a state machine from `Definition`, of which moto knows only the text."""
    properties = cloudformation_json["Properties"]
    definition = json.dumps(properties["Definition"])
    for name, value in properties.get("DefinitionSubstitutions", {}).items():
        definition = definition.replace(f"${{{name}}}", value)
    backend = get_backend(account_id, region_name)
    return backend.create_state_machine(properties["StateMachineName"], definition, properties["RoleArn"], tags=[])


def delete_state_machine(
    cls: Any, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
) -> None:
    get_backend(account_id, region_name).delete_state_machine(resource_name)


def delete_rest_api(self: Any, account_id: str, region_name: str) -> None:
    apigateway_backends[account_id][region_name].delete_rest_api(self.id)


for kind, (service, create) in RESOURCE_TYPES.items():
    add_type(kind, service, create)
after_creation(FakeBucket, configure_bucket)
after_creation(RestAPI, configure_rest_api)
after_creation(LambdaFunction, configure_function)
Role.update_from_cloudformation_json = classmethod(update_role)
RestAPI.delete = delete_rest_api
StateMachine.create_from_cloudformation_json = classmethod(create_state_machine)
StateMachine.delete_from_cloudformation_json = classmethod(delete_state_machine)
LambdaVersion.get_cfn_attribute = lambda self, name: str(self.version)
moto.cloudformation.models.validate_template_cfn_lint = lambda _: []

if __name__ == "__main__":
    main(["-H", "127.0.0.1", "-p", PORT])
