"""Run a scenario and write its result as JSON: `python -m tests.clients.programs MODULE SCENARIO`.

MODULE: of this package; SCENARIO: a function in it without arguments. The environment names the service, see
`endpoint`. `violations` lists how responses to boto3 deviate from botocore's model of Amazon Rekognition.

Runs under the current Python of .venv-clients.
"""

from __future__ import annotations

import importlib
import json
import sys

from tests.clients.programs.rekognition_client import watch

module, scenario = sys.argv[1:]
violations = watch()
result = getattr(importlib.import_module(f"tests.clients.programs.{module}"), scenario)()
json.dump({"result": result, "violations": violations}, sys.stdout, default=str)
