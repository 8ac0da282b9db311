"""publish: the model of a folder -> s3://bucket/prefix. The version first, the pointer last."""

from __future__ import annotations

from pathlib import Path

import boto3
from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError
from tqdm import tqdm

from model.errors import ModelUnavailable
from model.store import POINTER, Pointer, fetch, split_s3_uri
from training.steps import TrainingError, say


def publish(models: Path, to: str) -> Pointer:
    """Upload what `models`/latest.json points to. Raises TrainingError; the pointer in S3 is then untouched."""
    try:
        bucket, prefix = split_s3_uri(to)
        path, pointer = fetch(str(models))
    except (ValueError, ModelUnavailable) as error:
        raise TrainingError(f"{error}".rstrip(".") + ".") from error
    try:
        s3 = boto3.client("s3")
        # The name holds the start of the checksum: what is there under it is this very model.
        listed = s3.list_objects_v2(Bucket=bucket, Prefix=prefix + pointer.file, MaxKeys=1).get("Contents", [])
        if [entry["Size"] for entry in listed] == [pointer.bytes]:
            say(f"{pointer.version} is there already")
        else:
            with tqdm(total=pointer.bytes, unit="B", unit_scale=True, desc=f"upload {pointer.version}") as bar:
                s3.upload_file(
                    str(path),
                    bucket,
                    prefix + pointer.file,
                    ExtraArgs={"Metadata": {"sha256": pointer.sha256}},
                    Callback=bar.update,
                )
        s3.put_object(
            Bucket=bucket,
            Key=prefix + POINTER,
            Body=pointer.to_json().encode(),
            ContentType="application/json",
            CacheControl="no-cache",
        )
    except (BotoCoreError, ClientError, Boto3Error) as error:
        raise TrainingError(f"Publishing to {to} failed: {error}") from error
    say(f"{to} now serves {pointer.version}")
    return pointer
