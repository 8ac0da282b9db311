"""Put the page up on AWS, or take it down: `make deploy-web`.

A stack of its own beside the service's, `face-recognition-STAGE-page`: a bucket behind CloudFront, or a website of S3.
The page calls the endpoint of the service that is deployed, or the one given as URL.
"""

from __future__ import annotations

import argparse
import mimetypes
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from botocore.exceptions import BotoCoreError, ClientError, WaiterError
from endpoint import SERVICE, NoEndpoint, client, deployed, region

ROOT = Path(__file__).resolve().parent.parent
WEB = ROOT / "web"
CONFIG = "config.js"  # where the page finds its endpoint
# A browser asks each time whether what it has is still right, or it would mix new modules with old ones. Photos never
# change.
FRESH, KEPT = "no-cache", "public, max-age=86400"


def cache_control(path: Path) -> str:
    return KEPT if path.suffix in (".jpg", ".png") else FRESH


def put_up(cloudformation: Any, name: str, template: str) -> dict[str, str]:
    """The stack's outputs, once it is there."""
    try:
        cloudformation.describe_stacks(StackName=name)
        action = "update"
    except ClientError:
        action = "create"
    try:
        getattr(cloudformation, f"{action}_stack")(StackName=name, TemplateBody=template)
    except ClientError as error:
        if "No updates" not in str(error):
            raise
    else:
        print(f"{name}: {action} in {region()}, which takes some minutes with CloudFront ...", flush=True)
        cloudformation.get_waiter(f"stack_{action}_complete").wait(
            StackName=name, WaiterConfig={"Delay": 5, "MaxAttempts": 360}
        )
    (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def keys(s3: Any, bucket: str) -> set[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return {found["Key"] for page in pages for found in page.get("Contents", [])}


def upload(s3: Any, bucket: str, endpoint: str) -> int:
    """The page's files, and nothing else, into the bucket. Returns how many."""
    there = keys(s3, bucket)
    files = {path.relative_to(WEB).as_posix(): path for path in sorted(WEB.rglob("*")) if path.is_file()}
    # index.html last: who sees it, sees what it needs.
    for key in sorted(files, key=lambda key: key == "index.html"):
        body = config(endpoint) if key == CONFIG else files[key].read_bytes()
        kind = mimetypes.guess_type(key)[0] or "application/octet-stream"
        kind += "; charset=utf-8" if kind.startswith("text/") or kind.endswith("javascript") else ""
        s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType=kind, CacheControl=cache_control(files[key]))
    for key in there - set(files):
        s3.delete_object(Bucket=bucket, Key=key)
    return len(files)


def config(endpoint: str) -> bytes:
    """web/config.js with the endpoint in place of the local one."""
    lines = (WEB / CONFIG).read_text().splitlines(keepends=True)
    changed = [f'window.ENDPOINT = "{endpoint}";\n' if line.startswith("window.ENDPOINT") else line for line in lines]
    return "".join(changed).encode()


def take_down(cloudformation: Any, s3: Any, name: str) -> None:
    (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    bucket = next(output["OutputValue"] for output in stack["Outputs"] if output["OutputKey"] == "Bucket")
    for key in keys(s3, bucket):
        s3.delete_object(Bucket=bucket, Key=key)
    cloudformation.delete_stack(StackName=name)
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName=name, WaiterConfig={"Delay": 5, "MaxAttempts": 360}
    )
    print(f"{name} is gone")


def run(options: argparse.Namespace) -> None:
    """Raises NoEndpoint and what botocore raises."""
    name = f"{SERVICE}-{options.stage}-page"
    cloudformation, s3 = client("cloudformation"), client("s3")
    if options.remove:
        take_down(cloudformation, s3, name)
        return
    endpoint = (options.url or deployed(options.stage)).rstrip("/")
    if urlparse(endpoint).scheme != "https":
        raise NoEndpoint(f"{endpoint} is not the https address of an endpoint")
    template = ROOT / "deploy" / ("page-website.yml" if options.website else "page-cloudfront.yml")
    outputs = put_up(cloudformation, name, template.read_text())
    count = upload(s3, outputs["Bucket"], endpoint)
    if "Distribution" in outputs:
        everything = {"Paths": {"Quantity": 1, "Items": ["/*"]}, "CallerReference": os.urandom(8).hex()}
        client("cloudfront").create_invalidation(DistributionId=outputs["Distribution"], InvalidationBatch=everything)
    print(f"{count} files are up; the page calls {endpoint}\n\n  {outputs['Url']}\n")
    print(f"To let only this page read answers in a browser: CORS_ORIGIN={outputs['Url']} make deploy")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--url", default=os.environ.get("URL"), help="endpoint that the page calls: what /classify comes after"
    )
    parser.add_argument("--stage", default=os.environ.get("STAGE") or "dev", help="of the deployed service")
    parser.add_argument("--website", action="store_true", help="a website of S3 over plain http, without CloudFront")
    parser.add_argument("--remove", action="store_true", help="take the page down")
    try:
        run(parser.parse_args())
    except (NoEndpoint, BotoCoreError, ClientError, WaiterError) as error:
        print(f"deploy-web: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
