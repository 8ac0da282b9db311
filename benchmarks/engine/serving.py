"""handler.py without torch: the handler `benchmarks.engine.serving.handle`, under a current Python.

Three modules of model/ use torch. Their stand-ins (benchmarks/engine/networks.py) are put in place before handler.py is
imported, and all the rest is the service as it is: events and answers, decoding, MTCNN's cascade, the crop, and the
check of the bundled model's checksum, which is of much the same size.

    python -m benchmarks.engine.serving CROPS EMBEDDINGS    those of crops: uint8 [N, size, size, 3], float32 [N, 512]
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks.engine.networks import FOLDER, Network, Networks, Sampler


def stand_in() -> None:
    """Put those who use torch aside. Of torch itself model/ asks for one name more, outside of annotations."""
    torch: Any = ModuleType("torch")
    torch.no_grad = nullcontext
    mtcnn: Any = ModuleType("model.mtcnn")
    mtcnn.Networks = Networks
    sampling: Any = ModuleType("model.sampling")
    sampling.Sampler = Sampler
    sys.modules.update({"torch": torch, "model.mtcnn": mtcnn, "model.sampling": sampling})
    from model import recognizer

    class Recognizer:
        """As model/recognizer.py's."""

        def __init__(self, path: Path, version: str) -> None:
            self.config = recognizer.Config.parse((FOLDER / recognizer.CONFIG).read_text())
            self.people = recognizer.parse_people((FOLDER / recognizer.PEOPLE).read_text())
            self.version = version
            self._network = Network()

        def classify(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            logits, embeddings = self._network(crops)
            return 1 / (1 + np.exp(-logits)), embeddings

    recognizer.Recognizer = Recognizer  # type: ignore[misc, assignment]


def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return handler.handle(event, context)


stand_in()
import handler  # noqa: E402

if __name__ == "__main__":
    model = handler.current.get()
    crops = np.load(sys.argv[1], mmap_mode="r")
    np.save(sys.argv[2], np.concatenate([model.classify(crops[i : i + 32])[1] for i in range(0, len(crops), 32)]))
