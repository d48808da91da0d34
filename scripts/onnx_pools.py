"""Writes tests/fixtures/pools.json of odin-formats: pools of all geometries, drawn at random, with
what ONNX Runtime makes of them.

    pip install numpy onnx onnxruntime
    python scripts/onnx_pools.py OUTPUT [CASES] [SEED]

Each case is a file of one node in hexadecimal, the shape of its input, and the output, which is null
where ONNX Runtime refuses the node or returns no element. Element i of an input is
(7919 i mod 1000) / 1000 - 0.7 in f32. Written with ONNX Runtime 1.32.
"""

import json
import random
import sys

import numpy
import onnxruntime
from onnx import TensorProto, helper


def draw(choose):
    axes = choose.choice([1, 2, 2, 2, 3])
    each = lambda low, high: [choose.randint(low, high) for _ in range(axes)]
    kernel = each(1, 5 if axes == 3 else 13)
    pads = [choose.randint(0, k - 1) for k in kernel + kernel]
    if choose.random() < 0.3:  # as networks have them
        pads = [k // 2 for k in kernel + kernel]
    dense = choose.random() < 0.6
    return {
        "op": choose.choice(["MaxPool", "AveragePool"]),
        "shape": [1, choose.randint(1, 2)] + each(1, 9),
        "kernel_shape": kernel,
        "strides": each(1, 4),
        "dilations": [1] * axes if dense else each(1, 3),
        "pads": pads,
        "ceil_mode": choose.randint(0, 1),
        "count_include_pad": choose.randint(0, 1),
    }


def model(case):
    attributes = {k: v for k, v in case.items() if k not in ("op", "shape")}
    if case["op"] == "MaxPool":
        del attributes["count_include_pad"]
    node = helper.make_node(case["op"], ["x"], ["y"], **attributes)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, case["shape"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "g", [x], [y])
    opset = [helper.make_opsetid("", 22)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString()


def run(file, shape):
    elements = numpy.arange(numpy.prod(shape)) * 7919 % 1000
    x = elements.astype(numpy.float32) / numpy.float32(1000) - numpy.float32(0.7)
    try:
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        y = session.run(None, {"x": x.reshape(shape)})[0]
    except Exception:
        return None
    return [float(f"{v:.8g}") for v in y.ravel()] if y.size else None


def main():
    output, count, seed = (sys.argv[1:] + ["120", "1"][len(sys.argv) - 2 :])[:3]
    onnxruntime.set_default_logger_severity(4)
    choose = random.Random(int(seed))
    cases = []
    for _ in range(int(count)):
        case = draw(choose)
        file = model(case)
        cases.append({"model": file.hex(), "x": case["shape"], "y": run(file, case["shape"])})
    with open(output, "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


main()
