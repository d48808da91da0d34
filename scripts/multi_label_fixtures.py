"""Writes a multi-label network, and the scores expected of it:

    python scripts/multi_label_fixtures.py

- crates/odin-formats/tests/fixtures/onnx/multi_label.onnx: a small network that ends in a Sigmoid of four labels;
- crates/odin/tests/multi_label.json: images, and the scores of the formulas of docs/detectors.md.

Needs numpy, torch and onnx (made with numpy 2.4, torch 2.15 and onnx 1.23). The network runs in f64, gradients are
those of PyTorch's automatic differentiation of the loss itself, `-log sigmoid(z / T)` of the largest logit z.
"""

import json
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.nn.functional import conv2d, logsigmoid, softplus

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "crates/odin-formats/tests/fixtures/onnx/multi_label.onnx"
EXPECTED = ROOT / "crates/odin/tests/multi_label.json"
SIDE, CHANNELS, FEATURES, LABELS, IMAGES = 6, 3, 5, 4, 12
MEAN, STD = [0.4, 0.5, 0.45], [0.25, 0.2, 0.3]
SETTINGS = [(1.0, 0.002), (1000.0, 0.0014), (10.0, 0.02), (1000.0, 0.0)]


def weights(rng):
    shapes = {"conv": (FEATURES, CHANNELS, 3, 3), "conv_bias": (FEATURES,), "w": (LABELS, FEATURES), "b": (LABELS,)}
    return {name: (rng.standard_normal(shape) * 0.6).astype(np.float32) for name, shape in shapes.items()}


def write(w):
    nodes = [
        helper.make_node("Conv", ["x", "conv", "conv_bias"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["h"]),
        helper.make_node("Gemm", ["h", "w", "b"], ["z"], transB=1),
        helper.make_node("Sigmoid", ["z"], ["labels"]),
    ]
    graph = helper.make_graph(
        nodes,
        "multi_label",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", CHANNELS, SIDE, SIDE])],
        [helper.make_tensor_value_info("labels", TensorProto.FLOAT, ["N", LABELS])],
        [numpy_helper.from_array(value, name) for name, value in w.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    MODEL.write_bytes(model.SerializeToString())


def main():
    rng = np.random.default_rng(5)
    w = weights(rng)
    levels = rng.integers(0, 256, (IMAGES, SIDE, SIDE, CHANNELS), dtype=np.uint8)
    levels[::3] //= 3
    t = {name: torch.tensor(value, dtype=torch.float64) for name, value in w.items()}
    mean, std = (torch.tensor(values, dtype=torch.float32).double()[:, None, None] for values in (MEAN, STD))
    x = (torch.tensor(levels).permute(0, 3, 1, 2).double() / 255 - mean) / std

    def logits_of(images):
        h = conv2d(images, t["conv"], t["conv_bias"], padding=1).relu().mean((2, 3))
        return h @ t["w"].T + t["b"]

    # Half of the images shall have no label.
    w["b"] -= np.float32(logits_of(x).amax(1).median())
    t["b"] = torch.tensor(w["b"], dtype=torch.float64)
    write(w)

    def scores_at(temperature, magnitude):
        moved = x.clone().requires_grad_()
        loss = -logsigmoid(logits_of(moved).amax(1) / temperature).sum()
        gradient = torch.autograd.grad(loss, moved)[0]
        direction = torch.where(gradient >= 0, 1.0, -1.0) * magnitude / std
        largest = torch.zeros_like(gradient).flatten(1)
        largest[torch.arange(IMAGES), gradient.abs().flatten(1).argmax(1)] = 1
        only = direction * largest.reshape(direction.shape)
        of = lambda images: torch.sigmoid(logits_of(images) / temperature).amax(1).tolist()
        return {"temperature": temperature, "magnitude": magnitude, "odin": of(x - direction), "i-odin": of(x - only)}

    z = logits_of(x)
    assert 2 < (z.amax(1) < 0).sum() < IMAGES - 2, "images without any label, and images with some"
    expected = {
        "mean": MEAN,
        "std": STD,
        "levels": levels.flatten().tolist(),
        "shape": levels.shape,
        "scores": {
            "msp": torch.sigmoid(z).amax(1).tolist(),
            "max-logit": z.amax(1).tolist(),
            "joint-energy": softplus(z).sum(1).tolist(),
        },
        "settings": [scores_at(*setting) for setting in SETTINGS],
    }
    EXPECTED.write_text(json.dumps(expected) + "\n")


main()
