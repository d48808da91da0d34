"""PyTorch modules, tensors and loaders, against ODIN as PyTorch computes it; pytorch-ood's protocol."""

from __future__ import annotations

import builtins
import doctest
import importlib
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import odin_ood
from odin_ood import _export


def required(name: str) -> ModuleType:
    """A package that this page needs; its absence is a failure where ODIN_REQUIRE is set."""
    if os.environ.get("ODIN_REQUIRE"):
        return importlib.import_module(name)
    module: ModuleType = pytest.importorskip(name)
    return module


torch = required("torch")
torchvision = required("torchvision")
nn = torch.nn
MEAN, STD = [0.45, 0.5, 0.4], [0.25, 0.2, 0.3]
T, EPSILON = 1000.0, 0.0014


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)

    def forward(self, x: Any) -> Any:
        return torch.relu(x + self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))))


class Dense(nn.Module):
    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.bn, self.conv = nn.BatchNorm2d(width), nn.Conv2d(width, growth, 3, padding=1)

    def forward(self, x: Any) -> Any:
        return torch.cat([x, self.conv(torch.relu(self.bn(x)))], 1)


def resnet() -> Any:
    stem = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), Residual(8), Residual(8)]
    return nn.Sequential(*stem, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))


def densenet() -> Any:
    blocks = [nn.Conv2d(3, 6, 3), Dense(6, 4), Dense(10, 4), nn.AvgPool2d(2), Dense(14, 4)]
    head = [nn.BatchNorm2d(18), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(18, 7)]
    return nn.Sequential(*blocks, *head)


def vgg() -> Any:
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 4))


def vit() -> Any:
    network = torchvision.models.VisionTransformer(
        image_size=16, patch_size=4, num_layers=2, num_heads=2, hidden_dim=24, mlp_dim=48, num_classes=6
    )
    nn.init.normal_(network.heads.head.weight)
    return network


# Constructor and size of an image.
NETWORKS = {
    "resnet": (resnet, 12),
    "densenet": (densenet, 12),
    "vgg": (vgg, 16),
    "resnet18": (lambda: torchvision.models.resnet18(num_classes=10), 32),
    "mobilenet_v3_small": (lambda: torchvision.models.mobilenet_v3_small(num_classes=10), 32),
    "vit": (vit, 16),
}
EXPORTERS = {"dynamo": _export._by_dynamo, "torchscript": _export._by_torchscript}


def images(count: int, size: int, seed: int = 0) -> Any:
    """Random images ``(N, 3, H, W)`` from 0 to 1."""
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def normalized(pixels: Any) -> Any:
    mean, std = (torch.tensor(v, dtype=pixels.dtype).view(1, 3, 1, 1) for v in (MEAN, STD))
    return (pixels - mean) / std


def settled(build: Any, size: int) -> Any:
    """A network of fixed weights whose batch normalisations know the statistics of images; it is left
    in training mode."""
    torch.manual_seed(0)
    network = build()
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None
    with torch.no_grad():
        network.train()(normalized(images(16, size, seed=1)))
    return network


class Reference:
    """ODIN by PyTorch's automatic differentiation in double precision, from the paper's definition."""

    def __init__(self, network: Any, pixels: Any) -> None:
        network = pickle.loads(pickle.dumps(network)).double().eval()
        pixels = pixels.detach().double().requires_grad_()
        logits = network(normalized(pixels))
        self.prediction = logits.argmax(1)
        chosen = (logits / T).log_softmax(1).gather(1, self.prediction[:, None]).sum()
        (self.gradient,) = torch.autograd.grad(chosen, pixels)
        # Towards the larger probability of the predicted class; a gradient of 0 counts as positive.
        # A step on the [0, 1] scale is one of ε / std on that of the network's inputs.
        sign = torch.where(self.gradient >= 0, 1.0, -1.0).double()
        with torch.no_grad():
            moved = network(normalized(pixels.detach() + EPSILON * sign))
        self.odin = (moved / T).softmax(1).amax(1)
        self.msp = logits.detach().softmax(1).amax(1)


def assert_agrees(detector: odin_ood.Detector, network: Any, pixels: Any) -> None:
    expected, scores = Reference(network, pixels), detector.score(pixels)
    assert scores.prediction.tolist() == expected.prediction.tolist()
    # f32 against f64; a few gradients near 0 may change their sign, which moves ODIN by far less.
    np.testing.assert_allclose(scores.odin, expected.odin.numpy(), rtol=0, atol=1e-6)
    np.testing.assert_allclose(scores.msp, expected.msp.numpy(), rtol=0, atol=1e-5)
    largest = expected.gradient.abs().amax((1, 2, 3), keepdim=True).numpy()
    difference = np.abs(detector.gradient(pixels) - expected.gradient.numpy()) / largest
    assert difference.max() < 1e-4


@pytest.fixture(scope="module")
def network() -> Any:
    return settled(resnet, 12)


@pytest.fixture(scope="module")
def module_detector(network: Any) -> odin_ood.Detector:
    return odin_ood.Detector.from_torch(network, images(1, 12), mean=MEAN, std=STD, threads=2)


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("name", NETWORKS)
def test_scores_and_gradients_agree_with_pytorch(
    name: str, exporter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if exporter == "dynamo":
        required("onnxscript")
    build, size = NETWORKS[name]
    network = settled(build, size)
    other = "_by_torchscript" if exporter == "dynamo" else "_by_dynamo"
    monkeypatch.setattr(_export, other, _unavailable)
    detector = odin_ood.Detector.from_torch(network, images(1, size), mean=MEAN, std=STD, threads=2)
    assert network.training
    assert_agrees(detector, network, images(5, size))


def _unavailable(*_: Any) -> bytes:
    raise RuntimeError("not this one")


def test_class_names_and_options_are_passed_on(network: Any) -> None:
    names = ["a", "b", "c", "d", "e"]
    detector = odin_ood.Detector.from_torch(
        network, images(2, 12), mean=MEAN, std=STD, class_names=names, temperature=10, magnitude=0.002
    )
    assert (detector.class_names, detector.temperature, detector.magnitude) == (names, 10, 0.002)
    restored = pickle.loads(pickle.dumps(detector))
    assert restored.score(images(2, 12)) == detector.score(images(2, 12))


def test_each_part_keeps_its_own_mode(network: Any) -> None:
    network.train()
    network[1].eval()
    modes = [part.training for part in network.modules()]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    _export.onnx_of(network, images(1, 12))
    assert [part.training for part in network.modules()] == modes
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    network.train()


def test_a_module_of_another_type_is_exported_as_a_copy(network: Any) -> None:
    half = pickle.loads(pickle.dumps(network)).half()
    detector = odin_ood.Detector.from_torch(half, images(1, 12).half(), mean=MEAN, std=STD)
    assert next(half.parameters()).dtype == torch.float16
    assert_agrees(detector, half.float(), images(3, 12))


def test_wrappers_are_taken_off(network: Any, module_detector: odin_ood.Detector) -> None:
    wrapped = torch.compile(nn.DataParallel(network))
    detector = odin_ood.Detector.from_torch(wrapped, images(1, 12), mean=MEAN, std=STD)
    assert detector.score(images(3, 12)) == module_detector.score(images(3, 12))


@pytest.mark.parametrize(
    ("module", "example", "message"),
    [
        (lambda x: x, torch.zeros(1, 3, 8, 8), "function is no torch.nn.Module"),
        (nn.Identity(), np.zeros((1, 3, 8, 8)), "example_input is a batch"),
        (nn.Identity(), torch.zeros(3), "example_input is a batch"),
        (nn.Identity(), torch.zeros(0, 3, 8, 8), "example_input is a batch"),
        (nn.Linear(2, 2), torch.zeros(1, 3, 8, 8), "to ONNX.*shapes cannot be multiplied"),
        (nn.Conv2d(3, 4, 3), torch.zeros(1, 3, 8, 8), "must be logits"),
    ],
)
def test_what_is_no_classifier_is_a_value_error(module: Any, example: Any, message: str) -> None:
    with pytest.raises(odin_ood.OdinValueError, match=message):
        odin_ood.Detector.from_torch(module, example)


def test_a_missing_exporter_is_named(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_export, "find_spec", lambda _: None)
    monkeypatch.setattr(_export, "_by_torchscript", _unavailable)
    with pytest.raises(odin_ood.OdinValueError, match=r"not this one.*pip install onnxscript"):
        odin_ood.Detector.from_torch(network, images(1, 12))


def test_without_pytorch_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    importing = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "torch":
            raise ImportError(name)
        return importing(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(odin_ood.OdinValueError, match="pip install torch"):
        _export.onnx_of(None, None)


def test_the_package_never_imports_pytorch() -> None:
    program = "import sys, odin_ood; print('torch' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "False"


SAME = {
    "plain": lambda x: x,
    "double": lambda x: x.double(),
    "requires a gradient": lambda x: x.clone().requires_grad_(),
    "part of a graph": lambda x: x.clone().requires_grad_() * 1,
    "channels last in memory": lambda x: x.contiguous(memory_format=torch.channels_last),
    "every second image": lambda x: torch.stack([x, x], 1).flatten(0, 1)[::2],
    "transposed": lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
    "channels last": lambda x: x.permute(0, 2, 3, 1),
    "inference mode": lambda x: _in_inference_mode(x),
    "a list of images": lambda x: list(x),
}


def _in_inference_mode(x: Any) -> Any:
    with torch.inference_mode():
        return x.clone()


@pytest.mark.parametrize("how", SAME)
def test_tensors_are_read_as_they_are(how: str, module_detector: odin_ood.Detector) -> None:
    pixels = images(4, 12)
    expected = module_detector.score(pixels.numpy())
    np.testing.assert_array_equal(module_detector.score(SAME[how](pixels)).odin, expected.odin)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_read_as_its_values(dtype: Any, module_detector: odin_ood.Detector) -> None:
    pixels = images(4, 12).to(dtype)
    expected = module_detector.score(pixels.float())
    np.testing.assert_array_equal(module_detector.score(pixels).odin, expected.odin)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_other_types_are_value_errors(dtype: Any, module_detector: odin_ood.Detector) -> None:
    with pytest.raises(odin_ood.OdinValueError, match="no images"):
        module_detector.score(torch.zeros(2, 3, 12, 12).to(dtype))


def test_loaders_bring_their_labels(module_detector: odin_ood.Detector) -> None:
    pixels, labels = images(11, 12), torch.arange(11) % 5
    expected = module_detector.score(pixels, labels=labels.numpy())
    data_set = torch.utils.data.TensorDataset(pixels, labels)
    loader = torch.utils.data.DataLoader(data_set, batch_size=4)
    for source in (loader, data_set):
        scores = module_detector.score(source)
        assert scores.label.tolist() == labels.tolist()
        assert scores == expected
    unlabelled = torch.utils.data.DataLoader(pixels, batch_size=4)
    np.testing.assert_array_equal(module_detector.score(unlabelled).odin, expected.odin)


# pytorch-ood


@pytest.fixture(scope="module")
def pytorch_ood() -> ModuleType:
    required("pytorch_ood")
    return importlib.import_module("odin_ood.pytorch_ood")


@pytest.fixture(scope="module")
def loader() -> Any:
    """Eight in-distribution images and eight others, normalised."""
    labels = torch.cat([torch.arange(8) % 5, torch.full((8,), -1)])
    data_set = torch.utils.data.TensorDataset(normalized(images(16, 12)), labels)
    return torch.utils.data.DataLoader(data_set, batch_size=6)


def test_examples_of_the_documentation(
    pytorch_ood: ModuleType, detector: odin_ood.Detector, near: np.ndarray
) -> None:
    names = {"detector": detector, "near": near}
    assert doctest.testmod(pytorch_ood, extraglobs=names) == doctest.TestResults(failed=0, attempted=7)


def test_scores_are_those_of_pytorch_ood(
    pytorch_ood: ModuleType, network: Any, module_detector: odin_ood.Detector
) -> None:
    from pytorch_ood.detector import ODIN

    pixels = images(6, 12)
    theirs = ODIN(network.eval(), eps=EPSILON, temperature=T, norm_std=STD)(normalized(pixels)).detach()
    network.train()
    ours = pytorch_ood.OdinOOD(module_detector)(normalized(pixels))
    assert (ours.dtype, ours.shape, ours.device.type) == (torch.float64, (6,), "cpu")
    # Theirs is computed in f32, and leaves a pixel of gradient 0 where it is.
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=0, atol=1e-6)
    np.testing.assert_allclose(ours.numpy(), -module_detector.score(pixels).odin, rtol=0, atol=1e-7)
    direct = pytorch_ood.OdinOOD(module_detector, normalized=False)(pixels)
    np.testing.assert_array_equal(direct.numpy(), -module_detector.score(pixels).odin)


def test_a_module_is_exported_when_images_come(
    pytorch_ood: ModuleType, network: Any, module_detector: odin_ood.Detector
) -> None:
    lazy = pytorch_ood.OdinOOD(network, mean=MEAN, std=STD, eps=0.002, temperature=100.0)
    assert (lazy.eps, lazy.temperature, lazy.requires_fit) == (0.002, 100.0, False)
    assert lazy.get_hyperparameters() == {"temperature": 100.0, "eps": 0.002}
    x = normalized(images(4, 12))
    expected = pytorch_ood.OdinOOD(module_detector.with_setting(100.0, 0.002))(x)
    np.testing.assert_array_equal(lazy(x).numpy(), expected.numpy())
    lazy.set_hyperparameters(eps=EPSILON, temperature=T)
    np.testing.assert_array_equal(lazy(x).numpy(), pytorch_ood.OdinOOD(module_detector)(x).numpy())
    with pytest.raises(ValueError, match="noise"):
        lazy.set_hyperparameters(noise=1)


def test_metrics_of_pytorch_ood_take_it(
    pytorch_ood: ModuleType, module_detector: odin_ood.Detector, loader: Any
) -> None:
    from pytorch_ood.metrics import OODMetrics

    theirs, detector = OODMetrics(), pytorch_ood.OdinOOD(module_detector)
    for x, y in loader:
        theirs.update(detector(x), y)
    scores = module_detector.score(images(16, 12)).odin
    ours = odin_ood.metrics.evaluate(scores[:8], scores[8:])
    # The same positive class makes no difference to AUROC, another one makes FPR95 another metric.
    assert theirs.compute()["AUROC"] == pytest.approx(ours.auroc, abs=1e-9)
    swapped = odin_ood.metrics.evaluate(-scores[8:], -scores[:8])
    assert theirs.compute()["FPR95TPR"] == pytest.approx(swapped.fpr_at_95_tpr, abs=1e-9)


def test_the_benchmark_runner_takes_it(
    pytorch_ood: ModuleType, module_detector: odin_ood.Detector, loader: Any
) -> None:
    from pytorch_ood.benchmark import Benchmark

    class Small(Benchmark):  # type: ignore[misc]
        ood_names = ["others"]

        def train_set(self) -> Any:
            return loader.dataset

        def test_sets(self, known: bool = True, unknown: bool = True) -> list[Any]:
            return [loader.dataset]

    detectors = [pytorch_ood.OdinOOD(module_detector), pytorch_ood.OdinOOD(module_detector, score="msp")]
    results = Small().evaluate(detectors, loader_kwargs={"batch_size": 5})
    assert [(row["Dataset"], row["Detector"]) for row in results] == [("others", "OdinOOD")] * 2
    assert all(0 <= row["AUROC"] <= 1 for row in results)


def test_the_grid_search_takes_it(
    pytorch_ood: ModuleType, module_detector: odin_ood.Detector, loader: Any
) -> None:
    from pytorch_ood.utils import GridSearch

    detector = pytorch_ood.OdinOOD(module_detector)
    search = GridSearch(detector, None, loader, {"eps": [0.0, 0.01], "temperature": [1.0, 1000.0]})
    best = search.run()
    assert len(search.results_) == 4
    assert detector.get_hyperparameters() == best


@pytest.mark.parametrize(("score", "parameters"), [("knn", {"knn_k": 1}), ("nci", {})])
def test_scores_that_need_training_images(
    score: str,
    parameters: dict[str, Any],
    pytorch_ood: ModuleType,
    module_detector: odin_ood.Detector,
    loader: Any,
) -> None:
    from pytorch_ood.api import RequiresFittingException

    detector = pytorch_ood.OdinOOD(module_detector, score=score, **parameters)
    x = normalized(images(4, 12))
    assert detector.requires_fit
    with pytest.raises(RequiresFittingException):
        detector(x)
    assert detector.fit(loader) is detector
    assert not detector.requires_fit
    fitted = module_detector.fit(images(16, 12)[:8], np.arange(8) % 5, scores=[score], **parameters)
    np.testing.assert_allclose(detector(x).numpy(), -fitted.score(images(4, 12))[score], rtol=1e-4, atol=1e-6)


def test_scores_that_need_no_training_images(
    pytorch_ood: ModuleType, network: Any, module_detector: odin_ood.Detector
) -> None:
    from pytorch_ood.detector import EnergyBased

    x = normalized(images(4, 12))
    energy = pytorch_ood.OdinOOD(module_detector, score="energy")
    theirs = EnergyBased(network.eval())(x).detach()
    network.train()
    np.testing.assert_allclose(energy(x).numpy(), theirs.numpy(), rtol=1e-5)


def test_images_that_are_not_as_told_are_refused(
    pytorch_ood: ModuleType, network: Any, module_detector: odin_ood.Detector
) -> None:
    cases = [
        (lambda: pytorch_ood.OdinOOD(module_detector)(images(2, 12) * 9), "normalized=False"),
        (lambda: pytorch_ood.OdinOOD(module_detector)(torch.zeros(2, 1, 12, 12)), "shape"),
        (lambda: pytorch_ood.OdinOOD(network), "needs the mean and std"),
        (lambda: pytorch_ood.OdinOOD(module_detector, mean=MEAN), "leave them out"),
        (lambda: pytorch_ood.OdinOOD("model.onnx"), "neither a detector nor"),
    ]
    for call, message in cases:
        with pytest.raises(odin_ood.OdinValueError, match=message):
            call()
    scaled = odin_ood.Detector.from_torch(network, images(1, 12), mean=[100] * 3, std=[50] * 3, scale=255)
    with pytest.raises(odin_ood.OdinValueError, match="scale cannot be undone"):
        pytorch_ood.OdinOOD(scaled)
    assert pytorch_ood.OdinOOD(scaled, normalized=False)(images(2, 12)).shape == (2,)


def test_exporting_is_silent(network: Any, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _export.onnx_of(network, images(1, 12))
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("name", ["from_pytorch_ood", "from_openood"])
def test_examples_run(name: str) -> None:
    required("pytorch_ood")
    path = Path(__file__).resolve().parents[2] / "examples" / f"{name}.py"
    output = subprocess.run([sys.executable, path], capture_output=True, text=True, check=True)
    assert "pass" in output.stdout


@pytest.mark.parametrize(
    "last, notice",
    [
        (nn.Softmax(1), "the final Softmax of the model was removed: ODIN works on logits"),
        (nn.LogSoftmax(1), "the final Softmax of the model was removed: ODIN works on logits"),
        (nn.Sigmoid(), "the model ends in a Sigmoid, not in a softmax"),
    ],
)
def test_what_is_no_logits_is_noticed(last: Any, notice: str) -> None:
    torch.manual_seed(0)
    module = resnet().eval()
    images = torch.rand(2, 3, 16, 16)
    options: dict[str, Any] = {"mean": MEAN, "std": STD, "threads": 1}
    with pytest.warns(odin_ood.OdinWarning, match=notice) as caught:
        detector = odin_ood.Detector.from_torch(nn.Sequential(module, last), images, **options)
    assert caught[0].filename == __file__
    if isinstance(last, nn.Sigmoid):
        options["multi_label"] = True
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alone = odin_ood.Detector.from_torch(module, images, **options)
    assert np.allclose(detector.score(images).odin, alone.score(images).odin, atol=1e-6)
