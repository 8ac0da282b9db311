"""Compare JSON with a shape of botocore's service model: types, members, limits, patterns and enums."""

from __future__ import annotations

import re
from typing import Any, Iterator

from botocore.model import OperationModel, Shape

JSON_TYPES: dict[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "string": (str,),
    "blob": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "timestamp": (int, float),
}
# Errors of any operation of an AWS service, which the model of the service omits.
COMMON_ERRORS = {
    "MissingAuthenticationToken",
    "UnrecognizedClientException",
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "UnknownOperationException",
    "SerializationException",
    "AccessDeniedException",
    "ValidationException",
}
SERVER_ERRORS = {"InternalServerError"}


def deviations(shape: Shape | None, value: Any, where: str = "") -> Iterator[str]:
    """Yield one line for each deviation. shape: None if there is nothing to return; where: path of the value."""
    if shape is None:
        if value:
            yield f"{where}: {value!r} instead of nothing"
        return
    kind = shape.type_name
    if not _is_a(kind, value):
        yield f"{where}: {value!r} is no {kind}"
        return
    yield from _beyond_limits(shape, value, where)
    if kind == "structure":
        yield from _of_structure(shape, value, where)
    elif kind == "list":
        for number, item in enumerate(value):
            yield from deviations(shape.member, item, f"{where}[{number}]")
    elif kind == "map":
        for key, item in value.items():
            yield from deviations(shape.key, key, f"{where} key")
            yield from deviations(shape.value, item, f"{where}.{key}")


def error_deviations(operation: OperationModel, status: int, body: dict[str, Any]) -> Iterator[str]:
    """Yield one line for each deviation of an error response. botocore's model leaves out what errors consist of."""
    code = body.get("__type")
    if code not in COMMON_ERRORS and code not in [shape.name for shape in operation.error_shapes]:
        yield f"{code} is no error of this operation"
    if status != (500 if code in SERVER_ERRORS else 400):
        yield f"{code} has status {status}"
    # Some clients read `Message`, others `message`.
    if set(body) != {"__type", "Message", "message"} or not isinstance(body["Message"], str):
        yield f"{code} has {', '.join(sorted(body))} instead of __type, Message and message"


def _is_a(kind: str, value: Any) -> bool:
    return isinstance(value, JSON_TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _of_structure(shape: Shape, value: dict[str, Any], where: str) -> Iterator[str]:
    for name in shape.required_members:
        if name not in value:
            yield f"{where}.{name} is missing"
    for name, item in value.items():
        if name in shape.members:
            yield from deviations(shape.members[name], item, f"{where}.{name}")
        else:
            yield f"{where}.{name} is unknown"


def _beyond_limits(shape: Shape, value: Any, where: str) -> Iterator[str]:
    limits = shape.metadata
    size = len(value) if isinstance(value, (str, list, dict)) else value
    if not limits.get("min", size) <= size <= limits.get("max", size):
        yield f"{where}: {size} is not within {limits.get('min')} and {limits.get('max')}"
    if "pattern" in limits and not re.fullmatch(limits["pattern"], value):
        yield f"{where}: {value!r} does not match {limits['pattern']}"
    if "enum" in limits and value not in limits["enum"]:
        yield f"{where}: {value!r} is none of {limits['enum']}"
