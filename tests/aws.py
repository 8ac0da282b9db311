"""moto's server with what its CloudFormation lacks, for the tests of `sls deploy`: `python -m tests.aws PORT`.

moto 5.2.5 leaves out, silently, resources of types that it does not know and properties that it does not read. Here
they are made through moto's own API, so that a test can ask what has come up. It runs under the current Python of
.venv-notebook, because moto's CloudFormation does not import under 3.8. Left out by moto, and made here:

    type or property                                     why it matters
    S3 Bucket: versioning, public access, lifecycle      they are what makes the model bucket private and safe
    RestApi: BinaryMediaTypes, endpoint types, deletion  photos come through; `sls remove` leaves nothing
    GatewayResponse                                      CORS on what the gateway itself answers
    ApiKey, UsagePlan, UsagePlanKey                      --param keys=on
    ApiGatewayV2 Api, Stage, Integration, Route          --param front=http
    Lambda Alias, Url, a Version's number                --param warm=1, --param front=url
    Lambda Function: ReservedConcurrentExecutions, PackageType   --param reserved=3
    MetricFilter, Alarm                                  --param alarms=...
    IAM Role: a changed inline policy                    an update with another MODEL_URI
    CloudFront Distribution, OriginAccessControl         `make deploy-web`
    ValidateTemplate: cfn-lint's warnings end it         tests/test_deploy.py runs cfn-lint itself
    S3 BucketPolicy                                      only CloudFront may read the page's bucket
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

PORT = sys.argv[1]
Properties = dict[str, Any]


def api(service: str, region: str) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(service, region, endpoint_url=f"http://127.0.0.1:{PORT}", **keys)


def camel(value: Any) -> Any:
    """Names as in API Gateway's API and that of the logs, from those of CloudFormation."""
    if isinstance(value, dict):
        return {name if "." in name else name[0].lower() + name[1:]: camel(found) for name, found in value.items()}
    return [camel(found) for found in value] if isinstance(value, list) else value


def counted(value: Any) -> Any:
    """Lists as CloudFront's API has them."""
    if isinstance(value, list):
        return {"Quantity": len(value), "Items": [counted(found) for found in value]}
    return {name: counted(found) for name, found in value.items()} if isinstance(value, dict) else value


def given(names: Any, properties: Properties) -> Properties:
    return {name: properties[name] for name in names if name in properties}


Create = Callable[[Any, str, Properties], str]  # client, logical name, properties -> physical ID
ATTRIBUTES: dict[str, dict[str, str]] = {}  # by physical ID


def made(kind: str, service: str, create: Create) -> None:
    """Have CloudFormation make resources of a type through the API."""

    class Made(CloudFormationModel):
        __module__ = "moto.tests"  # moto reads a service's name there

        def __init__(self, identity: str) -> None:
            self.physical_resource_id = identity

        cloudformation_name_type = staticmethod(lambda: "")
        cloudformation_type = staticmethod(lambda: kind)

        @classmethod
        def create_from_cloudformation_json(
            cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **more: Any
        ) -> Made:
            logical = more.get("LogicalId", resource_name)
            return cls(create(api(service, region_name), logical, cloudformation_json.get("Properties", {})))

        @classmethod
        def update_from_cloudformation_json(
            cls,
            original_resource: Made,
            new_resource_name: str,
            cloudformation_json: Any,
            account_id: str,
            region_name: str,
        ) -> Made:
            return original_resource

        def delete(self, account_id: str, region_name: str) -> None:
            """What these are part of goes, and they with it."""

        def get_cfn_attribute(self, attribute_name: str) -> Any:
            return ATTRIBUTES.get(self.physical_resource_id, {}).get(attribute_name, self.physical_resource_id)

    globals()[f"Made{kind}"] = Made  # moto finds subclasses by weak references


def gateway_response(client: Any, name: str, properties: Properties) -> str:
    client.put_gateway_response(**{**camel(properties), "responseType": properties["ResponseType"]})
    return name


def metric_filter(client: Any, name: str, properties: Properties) -> str:
    client.put_metric_filter(filterName=name, **camel(properties))
    return name


def alarm(client: Any, name: str, properties: Properties) -> str:
    client.put_metric_alarm(AlarmName=name, **properties)
    return name


def bucket_policy(client: Any, name: str, properties: Properties) -> str:
    if any("Condition" in one and one["Effect"] == "Deny" for one in properties["PolicyDocument"]["Statement"]):
        return name  # moto reads no conditions: who may not come without TLS may not come at all
    client.put_bucket_policy(Bucket=properties["Bucket"], Policy=json.dumps(properties["PolicyDocument"]))
    return name


def function_url(client: Any, name: str, properties: Properties) -> str:
    found = client.create_function_url_config(
        FunctionName=properties["TargetFunctionArn"], AuthType=properties["AuthType"]
    )
    ATTRIBUTES[name] = {"FunctionUrl": found["FunctionUrl"]}
    return name


def alias(client: Any, name: str, properties: Properties) -> str:
    return client.create_alias(**given(("FunctionName", "FunctionVersion", "Name"), properties))["AliasArn"]


def access_control(client: Any, name: str, properties: Properties) -> str:
    return client.create_origin_access_control(**properties)["OriginAccessControl"]["Id"]


def distribution(client: Any, name: str, properties: Properties) -> str:
    config = properties["DistributionConfig"]
    config = {**counted(config), "CallerReference": name, "Comment": "", "Aliases": {"Quantity": 0}}
    config["DefaultCacheBehavior"].pop("AllowedMethods", None)
    found = client.create_distribution(DistributionConfig=config)["Distribution"]
    ATTRIBUTES[found["Id"]] = {"DomainName": found["DomainName"]}
    return found["Id"]


def http_stage(client: Any, name: str, properties: Properties) -> str:
    # CloudFormation takes a number's digits for the number, as they come from the command line.
    limits = {name: int(value) for name, value in properties["DefaultRouteSettings"].items()}
    return client.create_stage(**{**properties, "DefaultRouteSettings": limits})["StageName"]


def v2(method: str, identity: str) -> Create:
    return lambda client, _, properties: getattr(client, method)(**properties)[identity]


made("AWS::ApiGateway::GatewayResponse", "apigateway", gateway_response)
made(
    "AWS::ApiGateway::ApiKey",
    "apigateway",
    lambda client, _, p: client.create_api_key(**camel(given(("Name", "Enabled"), p)))["id"],
)
made(
    "AWS::ApiGateway::UsagePlan",
    "apigateway",
    lambda client, _, p: client.create_usage_plan(
        name=p["UsagePlanName"], **camel(given(("ApiStages", "Quota", "Throttle"), p))
    )["id"],
)
made("AWS::ApiGateway::UsagePlanKey", "apigateway", lambda client, _, p: client.create_usage_plan_key(**camel(p))["id"])
made("AWS::ApiGatewayV2::Api", "apigatewayv2", v2("create_api", "ApiId"))
made("AWS::ApiGatewayV2::Stage", "apigatewayv2", http_stage)
made("AWS::ApiGatewayV2::Integration", "apigatewayv2", v2("create_integration", "IntegrationId"))
made("AWS::ApiGatewayV2::Route", "apigatewayv2", v2("create_route", "RouteId"))
made("AWS::Lambda::Alias", "lambda", alias)
made("AWS::Lambda::Url", "lambda", function_url)
made("AWS::Logs::MetricFilter", "logs", metric_filter)
made("AWS::CloudWatch::Alarm", "cloudwatch", alarm)
made("AWS::S3::BucketPolicy", "s3", bucket_policy)
made("AWS::CloudFront::OriginAccessControl", "cloudfront", access_control)
made("AWS::CloudFront::Distribution", "cloudfront", distribution)
# Its API is not in moto either: the distribution only has to name something.
made("AWS::CloudFront::ResponseHeadersPolicy", "cloudfront", lambda client, name, p: name)


def also(kind: Any, then: Callable[[Any, Properties, str], None]) -> None:
    """What is to be done after moto's own creation of a resource."""
    create = kind.create_from_cloudformation_json.__func__

    def more(
        cls: Any, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **rest: Any
    ) -> Any:
        found = create(cls, resource_name, cloudformation_json, account_id, region_name, **rest)
        then(found, cloudformation_json.get("Properties", {}), region_name)
        return found

    kind.create_from_cloudformation_json = classmethod(more)


def bucket(found: Any, properties: Properties, region: str) -> None:
    client = api("s3", region)
    for name, method, argument in (
        ("VersioningConfiguration", "put_bucket_versioning", "VersioningConfiguration"),
        ("PublicAccessBlockConfiguration", "put_public_access_block", "PublicAccessBlockConfiguration"),
        ("OwnershipControls", "put_bucket_ownership_controls", "OwnershipControls"),
        ("WebsiteConfiguration", "put_bucket_website", "WebsiteConfiguration"),
    ):
        if name in properties:
            value = properties[name]
            if name == "WebsiteConfiguration":
                value = {"IndexDocument": {"Suffix": value["IndexDocument"]}}
            getattr(client, method)(Bucket=found.name, **{argument: value})


def rest_api(found: Any, properties: Properties, region: str) -> None:
    found.binaryMediaTypes = properties.get("BinaryMediaTypes", [])
    found.endpoint_configuration = camel(properties.get("EndpointConfiguration", {}))


def function(found: Any, properties: Properties, region: str) -> None:
    found.package_type = properties.get("PackageType", "Zip")
    if "ReservedConcurrentExecutions" in properties:
        client = api("lambda", region)
        count = properties["ReservedConcurrentExecutions"]
        client.put_function_concurrency(FunctionName=found.function_name, ReservedConcurrentExecutions=count)


def role_updated(
    cls: Any,
    original_resource: Any,
    new_resource_name: str,
    cloudformation_json: Any,
    account_id: str,
    region_name: str,
) -> Any:
    for policy in cloudformation_json["Properties"].get("Policies", []):
        original_resource.put_policy(policy["PolicyName"], policy["PolicyDocument"])
    return original_resource


def rest_api_gone(self: Any, account_id: str, region_name: str) -> None:
    apigateway_backends[account_id][region_name].delete_rest_api(self.id)


also(FakeBucket, bucket)
also(RestAPI, rest_api)
also(LambdaFunction, function)
Role.update_from_cloudformation_json = classmethod(role_updated)
RestAPI.delete = rest_api_gone
LambdaVersion.get_cfn_attribute = lambda self, name: str(self.version)
moto.cloudformation.models.validate_template_cfn_lint = lambda _: []

if __name__ == "__main__":
    main(["-H", "127.0.0.1", "-p", PORT])
