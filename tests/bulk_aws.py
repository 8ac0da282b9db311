"""tests/aws.py with an interpreter of the Amazon States Language: `python -m tests.bulk_aws PORT`.

moto executes state machines with the interpreter that it has from LocalStack. What its Distributed Map lacks is added
here as AWS documents it: ItemBatcher, ToleratedFailurePercentage, all pages of a listing, the form of its items, and
counts of items instead of batches. Children of type EXPRESS run as STANDARD ones, the result writer writes only its
manifest, and executions cannot be redriven. Functions are not run in Docker: the server at the URL in FUNCTION gets
each event, see tests/bulk_function.py. Stacks get the outputs of their last template.
"""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.request
from typing import Any

from moto.awslambda.models import LambdaBackend
from moto.cloudformation.models import ChangeSet
from moto.core.config import default_user_config
from moto.core.exceptions import JsonRESTError
from moto.server import main
from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.state.exec.state_map.item_reader.eval.resource_eval_s3 import (
    ResourceEvalS3,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration import (
    distributed_iteration_component as distributed,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.itemprocessor import (
    distributed_item_processor_worker as worker,
)
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser

from tests.aws import PORT

BATCHERS: dict[str, Any] = {}  # ItemBatcher by the label of its map
parse = AmazonStateLanguageParser.parse
map_run = distributed.DistributedIterationComponent._map_run
eval_job = worker.DistributedItemProcessorWorker._eval_job


apply = ChangeSet.apply


class Throttled(JsonRESTError):
    code = 429


def invoke(self: Any, name: str, qualifier: Any, body: Any, headers: Any, response_headers: dict[str, str]) -> bytes:
    """Send an event to the function's server, in place of LambdaBackend.invoke."""
    data = body if isinstance(body, bytes) else body.encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(os.environ["FUNCTION"], data), timeout=120) as reply:
            if reply.headers.get("X-Amz-Function-Error"):
                response_headers["x-amz-function-error"] = "Unhandled"
            return reply.read()
    except urllib.error.HTTPError as error:
        raise Throttled("TooManyRequestsException", "Rate Exceeded.") from error


def apply_with_outputs(self: Any) -> None:
    """Apply a change set, after which moto keeps the outputs of the stack's first template."""
    apply(self)
    self.stack.template_dict = self.template_dict
    self.stack.output_map = self.stack._create_output_map()


def parse_without_batchers(definition: str) -> Any:
    """Parse a definition. The grammar has no ItemBatcher, so remember it, and of the children's types only STANDARD."""
    content = json.loads(definition)
    for state in content["States"].values():
        if "ItemBatcher" in state:
            BATCHERS[state["Label"]] = state.pop("ItemBatcher")
            state["ItemProcessor"]["ProcessorConfig"]["ExecutionType"] = "STANDARD"
    return parse(json.dumps(content))


def list_objects(env: Any, resource_runtime_part: Any, state_credentials: Any) -> None:
    """Read all pages of a listing, as items of the form that AWS documents."""
    client = ResourceEvalS3._get_s3_client(resource_runtime_part, state_credentials)
    pages = client.get_paginator("list_objects_v2").paginate(**env.stack.pop())
    env.stack.append(
        [
            {
                "Etag": found["ETag"],
                "Key": found["Key"],
                "LastModified": int(found["LastModified"].timestamp()),
                "Size": found["Size"],
                "StorageClass": found["StorageClass"],
            }
            for page in pages
            for found in page.get("Contents", ())
        ]
    )


def run_batches(self: Any, env: Any, eval_input: Any) -> None:
    """Group the items, run the map, and fail it if more than the tolerated share of items has failed."""
    batcher, items = BATCHERS[eval_input.label], env.stack.pop()
    size = batcher["MaxItemsPerBatch"]
    execution = env.states.context_object.context_object_data["Execution"]["Input"]
    values = {
        key[: -len(".$")] if key.endswith(".$") else key: _resolved(value, execution) if key.endswith(".$") else value
        for key, value in batcher["BatchInput"].items()
    }
    batches = [{"BatchInput": values, "Items": items[at : at + size]} for at in range(0, len(items), size)]
    env.stack.append(batches)
    if batches:
        map_run(self, env, eval_input)
    failed = eval_input.map_run_record.item_counter.failed.get()
    if items and 100 * failed / len(items) > eval_input.tolerated_failure_percentage:
        name = StatesErrorName(StatesErrorNameType.StatesExceedToleratedFailureThreshold)
        details = EventDetails(
            mapRunFailedEventDetails={"error": name.error_name, "cause": "The threshold is exceeded."}
        )
        raise FailureEventException(FailureEvent(env, name, HistoryEventType.TaskFailed, details))


def _resolved(path: str, value: Any) -> Any:
    found = re.fullmatch(r"\$\.(\w+)", path)
    assert found, f"only paths such as $.name are supported, not {path}"
    return value[found[1]]


def count_items(self: Any, env: Any, job: Any) -> None:
    """Count the items of a batch, where moto counts one item."""
    counter, others = self._map_run_record.item_counter, len(job.job_input["Items"]) - 1
    counter.total.count(others)
    counter.running.count(others)
    eval_job(self, env, job)
    counter.running.offset(-others)
    (counter.succeeded if job.job_output is not None else counter.failed).count(others)


os.environ["MOTO_PORT"] = PORT  # where the interpreter finds the other services
default_user_config["stepfunctions"] = {"execute_state_machine": True}
LambdaBackend.invoke = invoke
ChangeSet.apply = apply_with_outputs
AmazonStateLanguageParser.parse = staticmethod(parse_without_batchers)
ResourceEvalS3._handle_list_objects_v2 = staticmethod(list_objects)
distributed.DistributedIterationComponent._map_run = run_batches
worker.DistributedItemProcessorWorker._eval_job = count_items

if __name__ == "__main__":
    main(["-H", "127.0.0.1", "-p", PORT])
