"""What several tests share: where things are, small networks, and programs of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
DEMO = REPOSITORY / "demo"
MODEL = DEMO / "model.safetensors"


def needed(module: str) -> Any:
    """A module that tests need; its absence is a failure where ODIN_REQUIRE is set."""
    if os.environ.get("ODIN_REQUIRE"):
        return __import__("importlib").import_module(module)
    return pytest.importorskip(module)


def multilayer(features: int, classes: int = 3) -> bytes:
    """The ONNX file of a network of random weights that takes vectors ``(N, features)``."""
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    shapes = {"w1": (features, 8), "b1": (8,), "w2": (8, classes), "b2": (classes,)}
    weights = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Gemm", ["active", "w2", "b2"], ["logits"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", features])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", classes])
    constants = [numpy_helper.from_array(values, name) for name, values in weights.items()]
    graph = helper.make_graph(nodes, "multilayer", [x], [logits], constants)
    opset = [helper.make_opsetid("", 13)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


def convolutional(channels: int, size: int, classes: int = 3) -> bytes:
    """The ONNX file of a network of random weights that takes images ``(N, channels, size, size)``."""
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(1)
    shapes = {"w1": (4, channels, 3, 3), "w2": (4, classes)}
    weights = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["maps"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["maps"], ["active"]),
        helper.make_node("GlobalAveragePool", ["active"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("MatMul", ["features", "w2"], ["logits"]),
    ]
    shape = ["n", channels, size, size]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", classes])
    constants = [numpy_helper.from_array(values, name) for name, values in weights.items()]
    graph = helper.make_graph(nodes, "convolutional", [x], [logits], constants)
    opset = [helper.make_opsetid("", 13)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


def command(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs ``python -m odin_ood``."""
    line = [sys.executable, "-m", "odin_ood", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, **options)


def program(code: str, **options: Any) -> subprocess.Popen[str]:
    """Starts a Python program of its own, with the demonstration's detector as ``detector``."""
    start = f"""
import os, signal, sys, threading, time
import numpy as np, odin_ood
detector = odin_ood.Detector.from_checkpoint({str(MODEL)!r}, threads=2)
near = np.load({str(DEMO / "near.npy")!r})
many = np.concatenate([near] * 100)
# The native part looks NumPy up at its first use, and an interrupt within that is a panic.
detector.score(near[:1])
"""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", start + code], text=True, **pipes, **options)
