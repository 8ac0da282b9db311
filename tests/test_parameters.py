"""Deploy parameters: deploy/parameters.json, and the defaults, checks, table and prices that depend on it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from benchmarks import cost
from model.calibration import DEFAULT_STRICTNESS, STRICTNESS
from scripts.bulk_plan import PRICES
from settings import Settings
from tests.commands import ROOT, shell

SCHEMA = json.loads((ROOT / "deploy/parameters.json").read_text(encoding="utf-8"))
PROPERTIES: dict[str, dict[str, Any]] = SCHEMA["properties"]


def write_table(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return shell(" ".join(["node", "deploy/table.js", *options]), folder)


def set_stage_parameters(folder: Path, stage: str, **values: Any) -> None:
    """Add a section for a stage below `params` in a clone's serverless.yml."""
    path = folder / "serverless.yml"
    text = path.read_text(encoding="utf-8")
    assert text.count("\nparams:\n") == 1
    path.write_text(text.replace("\nparams:\n", f"\nparams:\n  {stage}: {json.dumps(values)}\n"), encoding="utf-8")


def test_the_schema_and_its_defaults_are_valid() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    defaults = {name: found["default"] for name, found in PROPERTIES.items() if "default" in found}
    jsonschema.validate(defaults, SCHEMA)


@pytest.mark.parametrize("name", PROPERTIES)
def test_a_parameter_is_described(name: str) -> None:
    assert {"description", "costs"} <= set(PROPERTIES[name])
    assert ("pattern" in PROPERTIES[name]) == ("allowed" in PROPERTIES[name])


def test_the_table_in_the_docs_is_up_to_date() -> None:
    done = write_table(ROOT, "--check")
    assert done.returncode == 0, done.stderr


def test_a_changed_default_changes_the_table(checkout: Path) -> None:
    schema = checkout / "deploy/parameters.json"
    schema.write_text(schema.read_text().replace('"default": 1769', '"default": 2048'))
    done = write_table(checkout, "--check")
    assert done.returncode == 1
    assert done.stderr == "docs/deploy.md does not match deploy/parameters.json: run `node deploy/table.js`\n"
    assert write_table(checkout).returncode == 0
    assert "| `memory` | `2048` | a whole number, at least 512 and at most 10240 |" in (
        checkout / "docs/deploy.md"
    ).read_text(encoding="utf-8")
    assert write_table(checkout, "--check").returncode == 0


def test_a_stage_overrides_the_defaults(checkout: Path) -> None:
    set_stage_parameters(checkout, "prod", memory=3538, alarms=None)
    printed = yaml.safe_load(shell("npx sls print --stage prod", checkout).stdout)
    assert printed["params"]["default"] == {name: found.get("default", "") for name, found in PROPERTIES.items()}
    assert printed["provider"]["memorySize"] == 3538
    done = shell("npx sls package --stage prod", checkout)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "values, sentence",
    [
        ({"memory": "lots"}, "--param memory=lots: must be a whole number, at least 512 and at most 10240."),
        ({"memory": 1769.5}, "--param memory=1769.5: must be a whole number, at least 512 and at most 10240."),
        ({"strictness": "high"}, "--param strictness=high: must be one of 0.1, 0.3, 1, 3."),
        ({"strictness": 0.2}, "--param strictness=0.2: must be one of 0.1, 0.3, 1, 3."),
        ({"memori": 3538}, "There is no parameter memori."),
    ],
)
def test_parameters_of_a_stage_are_checked(values: dict[str, Any], sentence: str, checkout: Path) -> None:
    set_stage_parameters(checkout, "prod", **values)
    done = shell("npx sls package --stage prod", checkout)
    assert done.returncode == 1
    assert sentence in done.stdout + done.stderr
    assert shell("npx sls package", checkout).returncode == 0  # another stage


def test_strictness_is_what_the_service_accepts() -> None:
    assert PROPERTIES["strictness"]["enum"] == list(STRICTNESS)
    assert PROPERTIES["strictness"]["default"] == DEFAULT_STRICTNESS


@pytest.mark.parametrize(
    "given, expected", [("", "1"), ("--param strictness=0.1", "0.1"), ("--param strictness=3.0", "3.0")]
)
def test_strictness_reaches_both_functions(given: str, expected: str, checkout: Path) -> None:
    done = shell(f"npx sls package --param bulk=on {given}", checkout, PHOTOS_BUCKET="somebodys-photos")
    assert done.returncode == 0, done.stdout + done.stderr
    template = json.loads((checkout / ".serverless/cloudformation-template-update-stack.json").read_text())
    for name in ("ClassifyLambdaFunction", "BulkLambdaFunction"):
        variables = template["Resources"][name]["Properties"]["Environment"]["Variables"]
        assert variables["STRICTNESS"] == expected
        assert Settings.from_env({"STRICTNESS": expected}).strictness == float(expected)


def test_the_help_needs_no_valid_parameters(checkout: Path) -> None:
    done = shell("npx sls deploy --help --param memory=lots", checkout)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_prices_are_those_of_the_bill() -> None:
    memory = PROPERTIES["memory"]["default"]
    per_runtime, _ = cost.provisioned(memory, 0, cost.Milliseconds(warm=0, cold=0))
    rest, http = (1e6 * PRICES["gateway_request"][front] for front in ("rest", "http"))
    prices = {
        "front": f"${rest:.2f} (`rest`), ${http:.2f} (`http`) or nothing (`url`) per million requests",
        "warm": f"${per_runtime:.2f} a month for each at {memory:,} MB",
        "bucket": f"${PRICES['s3_gb_month']} per GB and month",
        "alarms": f"${cost.alarms():.2f} a month",
        "metrics": f"up to ${cost.metrics():.2f} a month",
        "logs": f"${PRICES['log_gb']:.2f} per GB written",
    }
    assert {name: PROPERTIES[name]["costs"] for name in prices} == prices
