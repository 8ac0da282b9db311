"""Resource types that moto's CloudFormation lacks, created through moto's API. See tests/aws.py."""

from __future__ import annotations

import json
from typing import Any, Callable, Dict

Properties = Dict[str, Any]
Create = Callable[[Any, str, Properties], str]  # client, logical ID, properties -> physical ID
ATTRIBUTES: dict[str, dict[str, str]] = {}  # by physical ID


def lower_camel(value: Any) -> Any:
    """Convert CloudFormation's property names to those of the APIs of API Gateway and CloudWatch Logs."""
    if isinstance(value, dict):
        return {
            name if "." in name else name[0].lower() + name[1:]: lower_camel(inner) for name, inner in value.items()
        }
    return [lower_camel(inner) for inner in value] if isinstance(value, list) else value


def with_quantities(value: Any) -> Any:
    """Convert lists to the format of CloudFront's API."""
    if isinstance(value, list):
        return {"Quantity": len(value), "Items": [with_quantities(inner) for inner in value]}
    return {name: with_quantities(inner) for name, inner in value.items()} if isinstance(value, dict) else value


def pick(names: Any, properties: Properties) -> Properties:
    """The properties with these names, if present."""
    return {name: properties[name] for name in names if name in properties}


def lifecycle(configuration: Properties) -> Properties:
    """Convert the rules of a bucket to the format of S3's API."""
    rules = []
    for rule in configuration["Rules"]:
        converted = {"ID": rule["Id"], "Filter": {"Prefix": rule.get("Prefix", "")}}
        if "ExpiredObjectDeleteMarker" in rule:
            converted["Expiration"] = pick(["ExpiredObjectDeleteMarker"], rule)
        same = ("Status", "NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload")
        rules.append({**converted, **pick(same, rule)})
    return {"Rules": rules}


def gateway_response(client: Any, name: str, properties: Properties) -> str:
    client.put_gateway_response(**{**lower_camel(properties), "responseType": properties["ResponseType"]})
    return name


def metric_filter(client: Any, name: str, properties: Properties) -> str:
    client.put_metric_filter(filterName=name, **lower_camel(properties))
    return name


def alarm(client: Any, name: str, properties: Properties) -> str:
    client.put_metric_alarm(AlarmName=name, **properties)
    return name


def bucket_policy(client: Any, name: str, properties: Properties) -> str:
    if any("Condition" in one and one["Effect"] == "Deny" for one in properties["PolicyDocument"]["Statement"]):
        return name  # moto ignores conditions: denying requests without TLS would deny all requests
    client.put_bucket_policy(Bucket=properties["Bucket"], Policy=json.dumps(properties["PolicyDocument"]))
    return name


def api_key(client: Any, name: str, properties: Properties) -> str:
    settings = {"name": name, **lower_camel(pick(("Name", "Enabled", "Description", "Value"), properties))}
    return client.create_api_key(**settings)["id"]


def usage_plan(client: Any, name: str, properties: Properties) -> str:
    settings = lower_camel(pick(("ApiStages", "Quota", "Throttle"), properties))
    return client.create_usage_plan(name=properties["UsagePlanName"], **settings)["id"]


def usage_plan_key(client: Any, name: str, properties: Properties) -> str:
    return client.create_usage_plan_key(**lower_camel(properties))["id"]


def function_url(client: Any, name: str, properties: Properties) -> str:
    url = client.create_function_url_config(
        FunctionName=properties["TargetFunctionArn"], AuthType=properties["AuthType"]
    )
    ATTRIBUTES[name] = {"FunctionUrl": url["FunctionUrl"]}
    return name


def alias(client: Any, name: str, properties: Properties) -> str:
    return client.create_alias(**pick(("FunctionName", "FunctionVersion", "Name"), properties))["AliasArn"]


def access_control(client: Any, name: str, properties: Properties) -> str:
    return client.create_origin_access_control(**properties)["OriginAccessControl"]["Id"]


def distribution(client: Any, name: str, properties: Properties) -> str:
    config = with_quantities(properties["DistributionConfig"])
    config.update({"CallerReference": name, "Comment": "", "Aliases": {"Quantity": 0}})
    config["DefaultCacheBehavior"].pop("AllowedMethods", None)
    created = client.create_distribution(DistributionConfig=config)["Distribution"]
    ATTRIBUTES[created["Id"]] = {"DomainName": created["DomainName"]}
    return created["Id"]


def http_stage(client: Any, name: str, properties: Properties) -> str:
    # The command line passes numbers as strings, which CloudFormation converts.
    limits = {setting: int(value) for setting, value in properties["DefaultRouteSettings"].items()}
    return client.create_stage(**{**properties, "DefaultRouteSettings": limits})["StageName"]


def v2(method: str, id_name: str) -> Create:
    """Call a method of API Gateway V2 with the properties unchanged."""
    return lambda client, _, properties: getattr(client, method)(**properties)[id_name]


RESOURCE_TYPES: dict[str, tuple[str, Create]] = {  # CloudFormation type -> service, function
    "AWS::ApiGateway::GatewayResponse": ("apigateway", gateway_response),
    "AWS::ApiGateway::ApiKey": ("apigateway", api_key),
    "AWS::ApiGateway::UsagePlan": ("apigateway", usage_plan),
    "AWS::ApiGateway::UsagePlanKey": ("apigateway", usage_plan_key),
    "AWS::ApiGatewayV2::Api": ("apigatewayv2", v2("create_api", "ApiId")),
    "AWS::ApiGatewayV2::Stage": ("apigatewayv2", http_stage),
    "AWS::ApiGatewayV2::Integration": ("apigatewayv2", v2("create_integration", "IntegrationId")),
    "AWS::ApiGatewayV2::Route": ("apigatewayv2", v2("create_route", "RouteId")),
    "AWS::Lambda::Alias": ("lambda", alias),
    "AWS::Lambda::Url": ("lambda", function_url),
    "AWS::Logs::MetricFilter": ("logs", metric_filter),
    "AWS::CloudWatch::Alarm": ("cloudwatch", alarm),
    "AWS::S3::BucketPolicy": ("s3", bucket_policy),
    "AWS::CloudFront::OriginAccessControl": ("cloudfront", access_control),
    "AWS::CloudFront::Distribution": ("cloudfront", distribution),
    # moto has no API for it: the distribution only refers to its ID.
    "AWS::CloudFront::ResponseHeadersPolicy": ("cloudfront", lambda client, name, properties: name),
}
