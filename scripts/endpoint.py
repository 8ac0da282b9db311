"""Where the deployed service answers, as its stack tells."""

from __future__ import annotations

import os
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

SERVICE = "face-recognition"
# Outputs of the stack, by front: a REST API, an HTTP API, a function URL.
OUTPUTS = ("ServiceEndpoint", "HttpApiUrl", "ClassifyLambdaFunctionUrl")


class NoEndpoint(Exception):
    """With a sentence for whoever runs this."""


def region() -> str:
    """That of serverless.yml."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "eu-central-1"


def client(service: str) -> Any:
    return boto3.client(service, region_name=region())


def deployed(stage: str) -> str:
    """The URL that `/classify` comes after. Raises NoEndpoint."""
    name = f"{SERVICE}-{stage}"
    try:
        (stack,) = client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    except (BotoCoreError, ClientError) as error:
        raise NoEndpoint(
            f"there is no service {name} in {region()} ({error}): deploy it with `make deploy`, or name an endpoint, URL=https://..."
        ) from error
    found = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    for output in OUTPUTS:
        if output in found:
            return found[output].rstrip("/")
    raise NoEndpoint(f"the stack {name} names no endpoint: name it yourself, URL=https://...")
