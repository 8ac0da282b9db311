"""Compare the backbone with facenet-pytorch's, in floating point and in int8, with random weights."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch

from model.calibration import Calibration, Tail
from model.crop import CropSpec
from model.embedding import GENERIC, MOBILE, TUNED, EmbeddingSpec, join, normalize
from model.mobilefacenet import EMBEDDING as MOBILE_SIZE
from model.mobilefacenet import MobileFaceNet
from model.networks import COHORT, CONFIG, MOBILE_WEIGHTS, EmbeddingNetwork, NetworkConfig
from tests import versions as tiny
from training.network.backbone import Conv, Float, State, count_parameters, fold, forward, load_pretrained
from training.network.base import to_int8
from training.network.quantize import Int8, Scale, calibrate, pack, quantize
from training.network.script import EmbeddingScript


@pytest.fixture(scope="module")
def reference() -> Any:
    """Return facenet-pytorch's network with random weights and BatchNorm statistics."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from facenet_pytorch import InceptionResnetV1
    torch.manual_seed(0)
    network = InceptionResnetV1(classify=True, num_classes=620).eval()
    for module in network.modules():
        if isinstance(module, (torch.nn.BatchNorm2d, torch.nn.BatchNorm1d)):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.05, 0.3)
            module.weight.data.uniform_(0.8, 1.2)
            module.bias.data.uniform_(-0.1, 0.1)
    return network


@pytest.fixture(scope="module")
def state(reference: Any) -> State:
    return dict(reference.state_dict())


@pytest.fixture(scope="module")
def convs(state: State) -> dict[str, Conv]:
    return fold(state)


@pytest.fixture(scope="module")
def crops() -> torch.Tensor:
    return torch.from_numpy(np.random.RandomState(0).randint(0, 256, (4, 3, 160, 160)).astype(np.uint8))


@pytest.fixture(scope="module")
def scales(convs: dict[str, Conv], crops: torch.Tensor) -> dict[str, Scale]:
    return calibrate(convs, [crops])


@torch.no_grad()
def reference_features(reference: Any, crops: torch.Tensor) -> torch.Tensor:
    found = []
    hook = reference.avgpool_1a.register_forward_hook(lambda _, __, output: found.append(output.flatten(1)))
    reference((crops.float() - 127.5) / 128)
    hook.remove()
    return found[0]


def test_number_of_parameters(reference: Any, state: State) -> None:
    assert count_parameters(state, 620) == 23_799_660
    trained = sum(parameter.numel() for name, parameter in reference.named_parameters() if "last_bn" not in name)
    assert count_parameters(state, 620) == trained


def test_features_equal_facenet_pytorchs(reference: Any, convs: dict[str, Conv], crops: torch.Tensor) -> None:
    assert len(convs) == 132
    expected = reference_features(reference, crops)
    with torch.no_grad():
        found = forward(Float(convs), crops)
    assert found.shape == (4, 1792)
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


def test_int8_is_close_to_floating_point(convs: dict[str, Conv], scales: dict[str, Scale], crops: torch.Tensor) -> None:
    with torch.no_grad():
        exact = forward(Float(convs), crops)
        found = forward(Int8(convs, scales, pack(convs, quantize(convs))), crops)
    assert torch.nn.functional.cosine_similarity(found, exact).min() > 0.95


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_exported_file_equals_the_network(
    precision: str, request: pytest.FixtureRequest, convs: dict[str, Conv], crops: torch.Tensor, tmp_path: Path
) -> None:
    scales = request.getfixturevalue("scales") if precision == "int8" else None
    random = np.random.RandomState(1)
    tuned, weight = (torch.from_numpy(random.randn(512, 1792).astype(np.float16)).float() for _ in range(2))
    bias = torch.from_numpy(random.randn(512).astype(np.float32))
    with torch.no_grad():
        script = torch.jit.script(EmbeddingScript(convs, scales, (weight, bias), tuned, size=160))
        backbone = Int8(convs, scales, pack(convs, quantize(convs))) if scales else Float(convs)
        features = forward(backbone, crops)
        expected = {
            GENERIC: torch.nn.functional.normalize(features @ weight.T + bias, dim=1).numpy(),
            TUNED: torch.nn.functional.normalize(features @ tuned.T, dim=1).numpy(),
        }
    calibration = Calibration(Tail(0.3, 0.05, -0.2, 1e-5), 20.0, -13.0, 0.4)
    size = 512 + MOBILE_SIZE
    specs = {name: EmbeddingSpec(name, name * 2, size, MOBILE_SIZE) for name in expected}
    config = NetworkConfig(CropSpec(margin=9), specs, dict.fromkeys((*expected, MOBILE), calibration), precision)
    strangers = {name: random.randn(20, MOBILE_SIZE if name == MOBILE else 512) for name in (*expected, MOBILE)}
    extra = torch._C.ExtraFilesMap()
    extra[CONFIG] = config.to_json()
    extra[MOBILE_WEIGHTS] = safetensors.numpy.save(tiny.mobile_weights())
    extra[COHORT] = safetensors.numpy.save({name: to_int8(found) for name, found in strangers.items()})
    script.save(str(tmp_path / "model.pt"), _extra_files=extra)

    network = EmbeddingNetwork(tmp_path / "model.pt")
    assert network.config == config
    # Batch sizes that differ from the traced one.
    for batch in (slice(0, 4), slice(1, 2)):
        for name, embeddings in expected.items():
            found = network.inception(crops[batch].permute(0, 2, 3, 1).numpy(), name)
            assert np.abs(found - embeddings[batch]).max() < 1e-5
    landmark_crops = np.random.RandomState(2).randint(0, 256, (3, 112, 112, 3)).astype(np.uint8)
    mobile = MobileFaceNet(tiny.mobile_weights()).embed(landmark_crops)
    assert np.abs(network.mobile(landmark_crops) - mobile).max() < 1e-6
    for name in expected:
        exact = join(normalize(strangers[name]), normalize(strangers[MOBILE]))
        found = network.cohort(name).embeddings
        assert found.shape == (20, size)
        assert (found * exact).sum(axis=1).min() > 0.999  # 8 bits


def test_normalisation_of_the_pretrained_network(convs: dict[str, Conv]) -> None:
    pixels = torch.tensor([0, 127, 255], dtype=torch.uint8).expand(1, 3, 1, 3)
    found = Float(convs).input(pixels)
    assert np.abs(found[0, 0, 0].numpy() - np.array([-0.99609, -0.0039, 0.99609])).max() < 1e-4


def test_pretrained_weights_load(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(weights))
    assert count_parameters(load_pretrained(), 620) == 23_799_660
