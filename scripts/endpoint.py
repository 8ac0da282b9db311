"""The address of the deployed service, read from the outputs of its CloudFormation stack."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

SETTINGS = (Path(__file__).resolve().parent.parent / "serverless.yml").read_text(encoding="utf-8")
(SERVICE,) = re.findall(r"^service: (\S+)$", SETTINGS, re.MULTILINE)
(REGION,) = re.findall(r"^  region: .*'(\S+)'}$", SETTINGS, re.MULTILINE)
# Stack outputs that hold the address, for a REST API, an HTTP API and a function URL.
ADDRESS_OUTPUTS = ("ServiceEndpoint", "HttpApiUrl", "ClassifyLambdaFunctionUrl")


class EndpointError(Exception):
    """There is no usable endpoint; the message is a sentence for the user."""


def region() -> str:
    """The AWS region, as serverless.yml selects it."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or REGION


def client(service: str) -> Any:
    return boto3.client(service, region_name=region())


def outputs(stack: str) -> dict[str, str]:
    """Outputs of a stack. Raises ClientError if it does not exist, BotoCoreError if AWS cannot be reached."""
    (description,) = client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in description.get("Outputs", [])}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that select an endpoint."""
    parser.add_argument("--url", default=os.environ.get("URL"), help="address of the service, without /classify")
    parser.add_argument(
        "--stage", default=os.environ.get("STAGE") or "dev", help="stage of the deployed service (default: %(default)s)"
    )


def selected_endpoint(options: argparse.Namespace) -> str:
    """Address given by the options, without /classify. Raises EndpointError."""
    return (options.url or deployed_endpoint(options.stage)).rstrip("/")


def deployed_endpoint(stage: str) -> str:
    """Address of the stage's deployed service. Raises EndpointError."""
    name = f"{SERVICE}-{stage}"
    try:
        found = outputs(name)
    except (BotoCoreError, ClientError) as error:
        raise EndpointError(
            f"there is no service {name} in {region()} ({error}): deploy it with `make deploy`, or set URL=https://..."
        ) from error
    for output in ADDRESS_OUTPUTS:
        if output in found:
            return found[output]
    raise EndpointError(f"the stack {name} has no output with the endpoint: set URL=https://...")
