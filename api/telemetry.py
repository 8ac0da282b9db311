"""One log line for each request, and its metrics as one line of CloudWatch's embedded metric format.

    metric                           unit          when
    Requests, 2xx 4xx 5xx            Count         always
    Known Unknown NoFace Errors      Count         one of them for each photo; Errors for every other problem too
    Faces                            Count         faces found in an identified photo
    Decode Detect Classify Total     Milliseconds  identified photos
    ColdStart                        Count         the first request of a process

Dimensions are the service and the model's version. Photos, file names and people appear in neither.
"""

from __future__ import annotations

import traceback
from typing import Callable, Mapping, Union

from aws_lambda_powertools import Logger, Metrics

from api.problems import Problem
from service.results import Identification

NAMESPACE = "FaceRecognition"
SERVICE = "face-recognition"

# What came of a request, whatever the dialect of its response. None: neither a photo nor an error.
Outcome = Union[Identification, Problem, None]


class Telemetry:
    """Log and metrics of one process."""

    def __init__(
        self, model_version: Callable[[], str | None], metrics: bool = True, log: Logger | None = None
    ) -> None:
        """metrics: False switches them off; log: None for the service's own."""
        self.log = log or Logger(service=SERVICE)
        self._model_version = model_version
        self._enabled = metrics
        self._cold = True
        self._metrics = Metrics(namespace=NAMESPACE, service=SERVICE)

    def request(self, request_id: str, status: int, outcome: Outcome, ms: float) -> None:
        """Record a request that has been answered. ms: from its event to its response."""
        version = self._model_version()
        self.log.info("answered", request_id=request_id, status=status, ms=round(ms, 1), model_version=version)
        self._publish(status, outcome, ms)

    def photo(self, outcome: Identification | Problem, ms: float) -> None:
        """Record a photo of a bucket, as if a request had sent it. ms: with reading it and writing its result."""
        self._publish(outcome.status if isinstance(outcome, Problem) else 200, outcome, ms)

    def photos(self, request_id: str, counts: Mapping[str, int]) -> None:
        """Record an S3 notification whose photos have been processed. counts: photos by result."""
        version = self._model_version()
        self.log.info("worked through", request_id=request_id, model_version=version, photos=dict(counts))

    def bug(self, request_id: str, error: Exception) -> None:
        """Record where a bug is. Its message may quote the request, so only the debug level shows it."""
        stack = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
        self.log.error("bug", request_id=request_id, error=type(error).__name__, stack=stack)
        self.log.debug("bug in full", exc_info=error)

    def _publish(self, status: int, outcome: Outcome, ms: float) -> None:
        if not self._enabled:
            return
        self._add("Requests", f"{status // 100}xx", *_kind(outcome))
        if self._cold:
            self._add("ColdStart")
            self._cold = False
        if isinstance(outcome, Identification):
            self._metrics.add_metric("Faces", "Count", outcome.faces_detected)
            for phase, value in {**outcome.timings, "total": ms}.items():
                self._metrics.add_metric(phase.capitalize(), "Milliseconds", round(value, 1))
        self._metrics.add_dimension("model_version", self._model_version() or "none")
        self._metrics.flush_metrics()

    def _add(self, *names: str) -> None:
        for name in names:
            self._metrics.add_metric(name, "Count", 1)


def _kind(outcome: Outcome) -> list[str]:
    if isinstance(outcome, Problem):
        return ["NoFace" if outcome.code == "no_face" else "Errors"]
    if isinstance(outcome, Identification):
        return ["Known" if outcome.faces[0].known else "Unknown"]
    return []
