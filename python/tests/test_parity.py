"""The same scores as PyTorch's on real networks, and as the command line's, bit for bit."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from support import DEMO, MODEL, command

import odin_ood

FIRST = 16
CIFAR = {"mean": [125.3 / 255, 123.0 / 255, 113.9 / 255], "std": [63.0 / 255, 62.1 / 255, 66.7 / 255]}
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
NETWORKS = {
    "densenet10": ("densenet_bc_100_12_cifar10.pth", CIFAR),
    "densenet100": ("densenet_bc_100_12_cifar100.pth", CIFAR),
    "resnet20": ("resnet20_cifar10.th", IMAGENET),
}
GOLDEN = [
    "densenet10.cifar10.T1000.eps0.0014.f64",
    "densenet10.Imagenet_resize.T1000.eps0.0014.f64",
    "densenet10.cifar10.T10.eps0.002.f32",
    "densenet10.cifar10.T1.eps0.f32",
    "densenet100.cifar10.T1000.eps0.002.f32",
    "resnet20.cifar10.T1000.eps0.0014.f32",
    "resnet20.sun_resize.T1000.eps0.0014.f32",
]


@pytest.mark.parametrize("golden", GOLDEN)
def test_scores_agree_with_pytorch(golden: str, refdata: Path) -> None:
    """Within what PyTorch's own f32 is off its f64, as the reference data states it for T = 1000."""
    network, image_set, rest = golden.split(".", 2)
    setting, precision = rest.rsplit(".", 1)
    temperature, magnitude = (float(part) for part in setting.removeprefix("T").split(".eps"))
    with (refdata / "golden" / f"{golden}.csv").open() as file:
        rows = list(csv.DictReader(file))[:FIRST]
    weights, normalization = NETWORKS[network]
    detector = odin_ood.Detector.from_checkpoint(
        refdata / "weights" / weights, temperature=temperature, magnitude=magnitude, **normalization
    )
    folder = refdata / "sets" / image_set
    scores = detector.score([folder / row["file"] for row in rows])
    assert scores.prediction.tolist() == [int(row["prediction"]) for row in rows]
    factor = 1 if precision == "f64" else 2
    spread = 1000 / temperature
    msp, odin = (np.array([float(row[name]) for row in rows]) for name in ("msp", "odin"))
    off = np.abs(scores.odin - odin)
    assert np.abs(scores.msp - msp).max() <= 1e-5 * factor
    assert np.median(off) <= 5e-9 * factor * spread
    assert off.max() <= 1e-5 * factor * spread


@pytest.mark.parametrize("model", ["resnet_4b.onnx", "Convnet_maxpool.onnx"])
def test_onnx_files_give_onnx_runtimes_logits(model: str, refdata: Path) -> None:
    """The logits are not of this package, but the MSP at T = 1 and ε = 0 follows from them."""
    onnxruntime = pytest.importorskip("onnxruntime")
    path = refdata / "onnx" / model
    detector = odin_ood.Detector.from_onnx(
        path, mean=(0,) * (3 if "resnet" in model else 1), std=(1,) * (3 if "resnet" in model else 1)
    )
    images = np.random.default_rng(0).random((5, *detector.image_shape), dtype=np.float32)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    logits = np.concatenate([session.run(None, {name: image[None]})[0] for image in images])
    shifted = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    scores = detector.score(images)
    assert scores.prediction.tolist() == logits.argmax(1).tolist()
    # The levels of pixels are kept; f32 logits of some tens are off by 1e-5, and the MSP by less.
    assert np.allclose(scores.msp, shifted.max(1) / shifted.sum(1), rtol=0, atol=2e-5)


def columns(text: str) -> dict[str, list[str]]:
    rows = list(csv.reader(text.splitlines()))
    return dict(zip(rows[0], zip(*rows[1:])))


def test_the_command_line_gives_the_same_bits(known, near, tmp_path) -> None:
    detector = odin_ood.Detector.from_checkpoint(MODEL, threads=1).fit(known, scores=["knn"], knn_k=10)
    calibrated = detector.calibrate(known)
    calibrated.save(tmp_path / "detector.toml")
    out = tmp_path / "scores.csv"
    images = DEMO / "near.npy"
    done = command("score", "--detector", tmp_path / "detector.toml", images, "-o", out, "--quiet")
    assert done.returncode == 0, done.stderr
    told = columns(out.read_text())
    forms = {"path": images, "array": near, "batches": (near[i : i + 50] for i in range(0, 714, 50))}
    for form, given in forms.items():
        verdicts = calibrated.judge(given)
        assert len(verdicts) == 714, form
        # A number is written so that reading it gives it back.
        for name in ("msp", "odin", "knn", "percentile", "p_value"):
            assert np.array_equal(np.array(told[name], dtype=float), verdicts[name]), (form, name)
        told_in = [value == "true" for value in told["is_in_distribution"]]
        assert told_in == verdicts.is_in_distribution.tolist(), form
    alone = calibrated.score(near)
    assert np.array_equal(alone.odin, np.array(told["odin"], dtype=float))


def test_a_detector_of_the_command_line_is_the_same(known, near, tmp_path) -> None:
    toml = tmp_path / "detector.toml"
    arguments = ("--nn", MODEL, "--in-dataset", DEMO / "in.npy", "-o", toml, "--magnitude", "0.0014")
    done = command("calibrate", *arguments)
    assert done.returncode == 0, done.stderr
    by_command = odin_ood.load(toml, threads=2)
    here = odin_ood.Detector.from_checkpoint(MODEL, threads=2).calibrate(DEMO / "in.npy")
    assert by_command.threshold == here.threshold
    assert np.array_equal(by_command.judge(near).p_value, here.judge(near).p_value)
