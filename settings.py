"""Settings from environment variables. No other module of the service or the training reads the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Mapping, MutableMapping

from model.calibration import DEFAULT_STRICTNESS, STRICTNESS
from storage.addresses import check_address, is_database
from storage.collection_names import RULE, is_collection_name
from storage.s3_settings import S3Settings

TRUE = ("1", "y", "yes", "t", "true", "on")
FALSE = ("0", "n", "no", "f", "false", "off")


INITIALIZATION = "AWS_LAMBDA_INITIALIZATION_TYPE"
# Lambda ends a start after 10 s, unless concurrency is provisioned: then it may take 130 s. Imports come before.
LAMBDA_START, LONG_START = 7.0, 100.0


@dataclass(frozen=True)
class Settings:
    """Settings of one app, which serves the bundled model to any page unless told otherwise.

    model_uri: folder or s3://bucket/prefix, empty for the bundled model; gallery_uri: where collections that can change
    are, empty if nothing can change; collection: of requests that name none, empty for `people`; cors_origins: of the
    pages that may read responses, "*" for any; keep_crops: store the crops of enrolled faces; api_key: requests must
    send it, unless it is empty; admin_key: requests that change something must send it, empty if nobody can;
    compreface_keys: keys of CompreFace's clients, and the collection that each may read and change;
    rekognition_buckets: from which photos may be read for Rekognition's clients;
    strictness: one of STRICTNESS, in percent, for requests that name none; metrics: publish them; memory_mb: of the
    Lambda function, None elsewhere; threads_set: the number of threads is set by OMP_NUM_THREADS; start_seconds: that
    the start of the app may wait for the default collection.
    """

    model_uri: str = ""
    gallery_uri: str = ""
    collection: str = ""
    keep_crops: bool = False
    cors_origins: tuple[str, ...] = ("*",)
    api_key: str = ""
    admin_key: str = ""
    compreface_keys: Mapping[str, str] = field(default_factory=dict)
    rekognition_buckets: tuple[str, ...] = ()
    strictness: float = DEFAULT_STRICTNESS
    metrics: bool = True
    memory_mb: int | None = None
    threads_set: bool = False
    start_seconds: float = LONG_START

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read the environment. An empty variable counts as unset. Raises ValueError."""
        memory = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        return cls(
            model_uri=_address(environ, "MODEL_URI"),
            gallery_uri=_address(environ, "GALLERY_URI", database=True),
            keep_crops=_flag(environ, "KEEP_CROPS"),
            collection=_collection(environ.get("COLLECTION") or ""),
            cors_origins=_origins(environ.get("CORS_ORIGIN") or "*"),
            api_key=environ.get("API_KEY") or "",
            admin_key=environ.get("ADMIN_KEY") or "",
            compreface_keys=_collections_by_key(environ),
            rekognition_buckets=_listed(environ.get("REKOGNITION_BUCKETS") or ""),
            strictness=_strictness(environ),
            metrics=not _flag(environ, "POWERTOOLS_METRICS_DISABLED"),
            memory_mb=int(memory) if memory else None,
            threads_set=bool(environ.get("OMP_NUM_THREADS")),
            start_seconds=LAMBDA_START if environ.get(INITIALIZATION) == "on-demand" else LONG_START,
        )


def limit_convolution_cache(environ: MutableMapping[str, str] = os.environ) -> None:
    """Let torch keep 128 prepared convolutions, unless the environment sets another number.

    torch 1.5 keeps what it has prepared for each input shape of a convolution, up to 1,024 of them, and photos and
    groups of faces come in all shapes: half a gigabyte after a few hundred photos. A photo needs 64 to 96. With fewer,
    all are prepared again for each photo, which takes 40 % more time. torch reads the variable when it runs its first
    convolution, so call this before.
    """
    environ.setdefault("LRU_CACHE_CAPACITY", "128")


def _origins(text: str) -> tuple[str, ...]:
    """Split at commas. A star among the origins stands for all of them."""
    origins = tuple(origin.strip().rstrip("/") for origin in text.split(","))
    return ("*",) if "*" in origins else origins


def _collection(name: str) -> str:
    if name and not is_collection_name(name):
        raise ValueError(f"COLLECTION is not {RULE}.")
    return name


def _address(environ: Mapping[str, str], name: str, *, database: bool = False) -> str:
    """Read the address of a place. database: it may be a database. Raises ValueError, which does not quote it."""
    uri = environ.get(name) or ""
    if not (database and is_database(uri)):
        check_address(uri, name)
    return uri


def _collections_by_key(environ: Mapping[str, str]) -> dict[str, str]:
    """Read the names of collections by key. Raises ValueError, which does not quote a key."""
    found: dict[str, str] = {}
    for entry in _listed(environ.get("COMPREFACE_KEYS") or ""):
        key, separator, collection = (part.strip() for part in entry.rpartition("="))
        if not (key and separator and is_collection_name(collection)):
            raise ValueError(
                f"COMPREFACE_KEYS is not of the form KEY=COLLECTION,KEY=COLLECTION: a collection is {RULE}."
            )
        if key in (*found, environ.get("API_KEY"), environ.get("ADMIN_KEY")):
            raise ValueError("A key in COMPREFACE_KEYS is there twice, or it is also API_KEY or ADMIN_KEY.")
        found[key] = collection
    return found


def _listed(text: str) -> tuple[str, ...]:
    return tuple(entry.strip() for entry in text.split(",") if entry.strip())


def _strictness(environ: Mapping[str, str]) -> float:
    text = environ.get("STRICTNESS") or str(DEFAULT_STRICTNESS)
    try:
        value = float(text)
    except ValueError:
        value = -1
    if value not in STRICTNESS:
        raise ValueError(f"STRICTNESS is not one of {', '.join(f'{share:g}' for share in STRICTNESS)}.")
    return value


def _flag(environ: Mapping[str, str], name: str) -> bool:
    value = (environ.get(name) or "false").lower()
    if value not in TRUE + FALSE:
        raise ValueError(f"{name} is neither true nor false.")
    return value in TRUE


def s3_settings_from_env() -> S3Settings:
    """Read AWS's own variables. An empty one counts as not set."""
    return S3Settings(
        region=_first("AWS_REGION", "AWS_DEFAULT_REGION"),
        access_key=_first("AWS_ACCESS_KEY_ID"),
        secret_key=_first("AWS_SECRET_ACCESS_KEY"),
        session_token=_first("AWS_SESSION_TOKEN"),
        endpoint=_first("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    )


def _first(*names: str) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def model_uri_from_env() -> str | None:
    """Read where models are published, None if it is not set."""
    return _first("MODEL_URI")


def keep_crops_from_env() -> bool:
    """Read whether the crops of enrolled faces are stored. Raises ValueError."""
    return _flag(os.environ, "KEEP_CROPS")


def gallery_uri_from_env() -> str | None:
    """Read where collections that can change are, None if it is not set."""
    return _first("GALLERY_URI")


def admin_key_from_env() -> str:
    """Read the administrator's key of a running endpoint, empty if it is not set."""
    return _first("ADMIN_KEY") or ""


def torch_home_from_env() -> Path:
    """Read the folder in which torch keeps pretrained weights."""
    home = _first("TORCH_HOME")
    return Path(home).expanduser() if home else _cache_home() / "torch"


def download_folder_from_env() -> Path:
    """Read the folder for downloads: $XDG_CACHE_HOME/face-recognition, or ~/.cache/face-recognition."""
    return _cache_home() / "face-recognition"


def _cache_home() -> Path:
    return Path(_first("XDG_CACHE_HOME") or "~/.cache").expanduser()
