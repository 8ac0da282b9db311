"""openapi.yaml as tests read it: its operations, and a validation of bodies."""

from __future__ import annotations

from typing import Any, Iterator

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from api.contract import document

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path and operation."""
    for path, item in document()["paths"].items():
        for method in METHODS:
            if method in item:
                yield method, path, item[method]


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """Follow `$ref` to the object that it names."""
    found: Any = node
    while "$ref" in found:
        found = document()
        for part in node["$ref"][2:].split("/"):
            found = found[part]
        node = found
    return found


def schema_of(response: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a response's JSON body."""
    return resolved(response)["content"]["application/json"]["schema"]


def fields(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the properties of an object, including those of the parts of `allOf`."""
    schema = resolved(schema)
    found = dict(schema.get("properties", {}))
    for part in schema.get("allOf", []):
        found.update(fields(part))
    return found


def undocumented(schema: dict[str, Any], value: Any, place: str = "") -> Iterator[str]:
    """Yield the paths of fields of a body that the schema does not have."""
    schema = resolved(schema)
    if isinstance(value, list) and "items" in schema:
        for item in value:
            yield from undocumented(schema["items"], item, f"{place}[]")
    elif isinstance(value, dict) and not schema.get("additionalProperties"):
        known = fields(schema)
        for name, inner in value.items():
            if name not in known:
                yield f"{place}.{name}"
            else:
                yield from undocumented(known[name], inner, f"{place}.{name}")


def check(schema: dict[str, Any], body: Any) -> None:
    """Validate a body, which may have no field that is not in the schema."""
    contract = Resource.from_contents(document(), DRAFT202012)
    Draft202012Validator(absolute(schema), registry=Registry().with_resource("contract", contract)).validate(body)
    assert list(undocumented(schema, body)) == []


def absolute(node: Any) -> Any:
    """Make references in a schema absolute, so that they can be resolved outside of the document."""
    if isinstance(node, list):
        return [absolute(item) for item in node]
    if isinstance(node, dict):
        return {k: f"contract{v}" if k == "$ref" and v.startswith("#") else absolute(v) for k, v in node.items()}
    return node
