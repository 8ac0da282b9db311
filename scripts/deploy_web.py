"""Put the page up on AWS, or take it down: `make deploy-web`.

A stack of its own beside the service's, `face-recognition-STAGE-page`: a bucket behind CloudFront, or a website of S3.
The page calls the endpoint of the service that is deployed, or the one given as URL.
"""

from __future__ import annotations

import argparse
import json
import mimetypes
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from botocore.exceptions import BotoCoreError, ClientError, WaiterError
from endpoint import SERVICE, NoEndpoint, add_options, chosen, client, outputs, region

ROOT = Path(__file__).resolve().parent.parent
WEB = ROOT / "web"
# A browser asks each time whether what it has is still right, or it would mix new modules with old ones. Photos never
# change.
FRESH, KEPT = "no-cache", "public, max-age=86400"


def wait(cloudformation: Any, name: str, action: str) -> None:
    """CloudFront takes its time. Raises WaiterError."""
    patience = {"Delay": 5, "MaxAttempts": 360}  # seconds, times
    cloudformation.get_waiter(f"stack_{action}_complete").wait(StackName=name, WaiterConfig=patience)


def put_up(cloudformation: Any, name: str, template: str) -> dict[str, str]:
    """The stack's outputs, once it is there."""
    try:
        outputs(name)
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
        wait(cloudformation, name, action)
    return outputs(name)


def keys(s3: Any, bucket: str) -> set[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return {found["Key"] for page in pages for found in page.get("Contents", [])}


def upload(s3: Any, bucket: str, endpoint: str) -> int:
    """The page's files, and nothing else, into the bucket. Returns how many."""
    config = f"window.ENDPOINT = {json.dumps(endpoint)};\n".encode()
    there = keys(s3, bucket)
    files = {path.relative_to(WEB).as_posix(): path for path in sorted(WEB.rglob("*")) if path.is_file()}
    # index.html last: who sees it, sees what it needs.
    for key in sorted(files, key=lambda key: key == "index.html"):
        body = config if key == "config.js" else files[key].read_bytes()
        kind = mimetypes.guess_type(key)[0] or "application/octet-stream"
        kind += "; charset=utf-8" if kind.startswith("text/") or kind.endswith("javascript") else ""
        cache = KEPT if kind.startswith("image/") else FRESH
        s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType=kind, CacheControl=cache)
    for key in there - set(files):
        s3.delete_object(Bucket=bucket, Key=key)
    return len(files)


def take_down(cloudformation: Any, s3: Any, name: str) -> None:
    bucket = outputs(name)["Bucket"]
    for key in keys(s3, bucket):
        s3.delete_object(Bucket=bucket, Key=key)
    cloudformation.delete_stack(StackName=name)
    wait(cloudformation, name, "delete")
    print(f"{name} is gone")


def run(options: argparse.Namespace) -> None:
    """Raises NoEndpoint and what botocore raises."""
    name = f"{SERVICE}-{options.stage}-page"
    cloudformation, s3 = client("cloudformation"), client("s3")
    if options.remove:
        take_down(cloudformation, s3, name)
        return
    endpoint = chosen(options)
    if urlparse(endpoint).scheme != "https":
        raise NoEndpoint(f"{endpoint} is not the https address of an endpoint")
    template = ROOT / "deploy" / ("page-website.yml" if options.website else "page-cloudfront.yml")
    up = put_up(cloudformation, name, template.read_text())
    count = upload(s3, up["Bucket"], endpoint)
    if "Distribution" in up:
        everything = {"Paths": {"Quantity": 1, "Items": ["/*"]}, "CallerReference": os.urandom(8).hex()}
        client("cloudfront").create_invalidation(DistributionId=up["Distribution"], InvalidationBatch=everything)
    print(f"{count} files are up; the page calls {endpoint}\n\n  {up['Url']}\n")
    print(f"To let only this page read answers in a browser: CORS_ORIGIN={up['Url']} make deploy")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
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
