"""Deploy the page on AWS, or remove it: `make deploy-web`.

The page has its own stack, `face-recognition-STAGE-page`: a bucket behind CloudFront, or an S3 website. It calls the
endpoint of the deployed service, or the one given as URL.
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
from endpoint import SERVICE, EndpointError, add_options, client, outputs, region, selected_endpoint

ROOT = Path(__file__).resolve().parent.parent
WEB = ROOT / "web"
# Browsers must revalidate code on each visit, because old and new modules do not work together. Photos never change.
REVALIDATE, ONE_DAY = "no-cache", "public, max-age=86400"


def wait(cloudformation: Any, name: str, action: str) -> None:
    """Wait up to half an hour, because CloudFront is slow. Raises WaiterError."""
    config = {"Delay": 5, "MaxAttempts": 360}  # seconds, times
    cloudformation.get_waiter(f"stack_{action}_complete").wait(StackName=name, WaiterConfig=config)


def deploy_stack(cloudformation: Any, name: str, template: str) -> dict[str, str]:
    """Create or update the stack, wait for it, and return its outputs."""
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
        print(f"{name}: {action} in {region()}; CloudFront takes some minutes ...", flush=True)
        wait(cloudformation, name, action)
    return outputs(name)


def list_keys(s3: Any, bucket: str) -> set[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return {entry["Key"] for page in pages for entry in page.get("Contents", [])}


def upload_files(s3: Any, bucket: str, endpoint: str) -> int:
    """Upload the page's files, delete all other objects, and return the number of files."""
    config = f"window.ENDPOINT = {json.dumps(endpoint)};\n".encode()
    existing = list_keys(s3, bucket)
    files = {path.relative_to(WEB).as_posix(): path for path in sorted(WEB.rglob("*")) if path.is_file()}
    # index.html last, so that everything it needs is there before.
    for key in sorted(files, key=lambda key: key == "index.html"):
        body = config if key == "config.js" else files[key].read_bytes()
        content_type = mimetypes.guess_type(key)[0] or "application/octet-stream"
        if content_type.startswith("text/") or content_type.endswith("javascript"):
            content_type += "; charset=utf-8"
        cache = ONE_DAY if content_type.startswith("image/") else REVALIDATE
        s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType=content_type, CacheControl=cache)
    for key in existing - set(files):
        s3.delete_object(Bucket=bucket, Key=key)
    return len(files)


def remove(cloudformation: Any, s3: Any, name: str) -> None:
    bucket = outputs(name)["Bucket"]
    for key in list_keys(s3, bucket):
        s3.delete_object(Bucket=bucket, Key=key)
    cloudformation.delete_stack(StackName=name)
    wait(cloudformation, name, "delete")
    print(f"{name} is removed")


def run(options: argparse.Namespace) -> None:
    """Raises EndpointError and botocore's errors."""
    name = f"{SERVICE}-{options.stage}-page"
    cloudformation, s3 = client("cloudformation"), client("s3")
    if options.remove:
        remove(cloudformation, s3, name)
        return
    endpoint = selected_endpoint(options)
    if urlparse(endpoint).scheme != "https":
        raise EndpointError(f"{endpoint} is not an https address")
    template = ROOT / "deploy" / ("page-website.yml" if options.website else "page-cloudfront.yml")
    stack = deploy_stack(cloudformation, name, template.read_text())
    count = upload_files(s3, stack["Bucket"], endpoint)
    if "Distribution" in stack:
        all_paths = {"Paths": {"Quantity": 1, "Items": ["/*"]}, "CallerReference": os.urandom(8).hex()}
        client("cloudfront").create_invalidation(DistributionId=stack["Distribution"], InvalidationBatch=all_paths)
    print(f"{count} files uploaded; the page calls {endpoint}\n\n  {stack['Url']}\n")
    print(f"To allow only this page to call the service from a browser: CORS_ORIGIN={stack['Url']} make deploy")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--website", action="store_true", help="S3 website over plain http, without CloudFront")
    parser.add_argument("--remove", action="store_true", help="remove the page")
    try:
        run(parser.parse_args())
    except (EndpointError, BotoCoreError, ClientError, WaiterError) as error:
        print(f"deploy-web: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
