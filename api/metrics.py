"""What a request was like, in numbers: one line of CloudWatch's embedded metric format for each.

    metric                           unit          when
    Requests, 2xx 4xx 5xx            Count         always
    Known Unknown NoFace Errors      Count         one of them for each photo; Errors for every other refusal too
    Faces                            Count         faces found in an answered photo
    Decode Detect Classify Total     Milliseconds  answered photos
    ColdStart                        Count         a process's first request

Dimensions are the service and the model's version. Nothing of the photo, its name or the person is in it.
"""

from __future__ import annotations

from typing import Any, Mapping

from aws_lambda_powertools import Metrics

NAMESPACE = "FaceRecognition"
SERVICE = "face-recognition"


class RequestMetrics:
    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled
        self._cold = True
        self._metrics = Metrics(namespace=NAMESPACE, service=SERVICE)

    def publish(
        self, status: int, code: str | None, answer: Mapping[str, Any] | None, ms: float, model_version: str | None
    ) -> None:
        """code: of the error, if it was one; answer: the body, if there was one; ms: of the whole request."""
        if not self._enabled:
            return
        self._count("Requests", f"{status // 100}xx", *self._outcome(status, code, answer))
        if self._cold:
            self._count("ColdStart")
            self._cold = False
        if answer and "timings_ms" in answer:
            self._metrics.add_metric("Faces", "Count", answer["faces_detected"])
            for stage, value in {**answer["timings_ms"], "total": ms}.items():
                self._metrics.add_metric(stage.capitalize(), "Milliseconds", value)
        self._metrics.add_dimension("model_version", model_version or "none")
        self._metrics.flush_metrics()

    def _count(self, *names: str) -> None:
        for name in names:
            self._metrics.add_metric(name, "Count", 1)

    @staticmethod
    def _outcome(status: int, code: str | None, answer: Mapping[str, Any] | None) -> list[str]:
        if status >= 400:
            return ["NoFace" if code == "no_face" else "Errors"]
        if answer and "known" in answer:
            return ["Known" if answer["known"] else "Unknown"]
        return []
