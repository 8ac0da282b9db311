"""Where the deployed service answers, as its stack tells."""

from __future__ import annotations

import argparse
import os
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

SERVICE = "face-recognition"
# The stack's output that tells it, by front: a REST API, an HTTP API, a function URL.
TELLING = ("ServiceEndpoint", "HttpApiUrl", "ClassifyLambdaFunctionUrl")


class NoEndpoint(Exception):
    """With a sentence for whoever runs this."""


def region() -> str:
    """That of serverless.yml."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "eu-central-1"


def client(service: str) -> Any:
    return boto3.client(service, region_name=region())


def outputs(stack: str) -> dict[str, str]:
    """Raises ClientError where there is no such stack, BotoCoreError where nobody can be asked."""
    (found,) = client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those that say which endpoint."""
    parser.add_argument("--url", default=os.environ.get("URL"), help="what /classify comes after")
    parser.add_argument("--stage", default=os.environ.get("STAGE") or "dev", help="of the deployed service")


def chosen(options: argparse.Namespace) -> str:
    """What /classify comes after. Raises NoEndpoint."""
    return (options.url or deployed(options.stage)).rstrip("/")


def deployed(stage: str) -> str:
    """Raises NoEndpoint."""
    name = f"{SERVICE}-{stage}"
    try:
        found = outputs(name)
    except (BotoCoreError, ClientError) as error:
        raise NoEndpoint(
            f"there is no service {name} in {region()} ({error}): deploy it with `make deploy`, or name an endpoint, URL=https://..."
        ) from error
    for output in TELLING:
        if output in found:
            return found[output]
    raise NoEndpoint(f"the stack {name} names no endpoint: name it yourself, URL=https://...")
