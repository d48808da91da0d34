"""Writes what ONNX Runtime computes for `Resize` and `Upsample` by many scales and sizes.

    python scripts/resize_cases.py crates/odin-formats/tests/fixtures/resize.json

Needs numpy, onnx and onnxruntime. The operand is `x [1, 1, 1, width]` with `x[i] = ((37 i) % 23) / 8
- 1`. Scales such as 0.3 are not exact in binary: of all cases tried, those are kept first in which
exact arithmetic, or the size before it is rounded, would give other results.
"""

import json
import math
import sys

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

COORDINATES = """half_pixel pytorch_half_pixel half_pixel_symmetric asymmetric align_corners
    tf_half_pixel_for_nn""".split()
NEAREST = "round_prefer_floor round_prefer_ceil floor ceil".split()
WIDTHS = [20, 7, 10, 3, 21, 5, 13]
SCALES = [0.3, 1 / 3, 0.7, 1.4, 0.6, 0.1, 0.9, 1.1, 1.7, 2.3, 1 / 7, 0.8, 2, 0.5, 1, 1.2, 4 / 3]
SIZES = [1, 2, 3, 5, 7, 9, 14, 31]
KEPT = 3


def operand(width):
    return np.array([(37 * i % 23) / 8 - 1 for i in range(width)], np.float32)


def run(case):
    opset, attributes = case["opset"], dict(case["attributes"])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 1, case["width"]])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    if "size" in case:
        name, given = "size", helper.make_tensor("size", TensorProto.INT64, [4], [1, 1, 1, case["size"]])
    else:
        name, given = "scale", helper.make_tensor("scale", TensorProto.FLOAT, [4], [1, 1, 1, case["scale"]])
    inputs = {"size": ["x", "", "", name], "scale": ["x", "", name]}[name]
    if opset < 11:
        inputs = ["x", name]
    if opset < 9:
        inputs, attributes["scales"] = ["x"], [1.0, 1.0, 1.0, case["scale"]]
    node = helper.make_node(case["operator"], inputs, ["y"], **attributes)
    graph = helper.make_graph([node], "resize", [x], [y], [given] if opset >= 9 else [])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, {"x": operand(case["width"]).reshape(1, 1, 1, -1)})[0].ravel()


def is_delicate(case):
    """Whether f64, or a size that is not rounded, gives another size or other positions."""
    if "size" in case:
        return False
    width, scale = case["width"], float(np.float32(case["scale"]))
    size = int(np.floor(np.float32(scale) * np.float32(width)))
    exact = scale * width
    if math.floor(exact) != size or (case["coordinates"] == "align_corners" and exact != size):
        return True
    return any(math.floor(i / scale) != int(np.floor(np.float32(i) / np.float32(scale))) for i in range(size))


def kinds():
    """Operator, version, coordinates and attributes."""
    for coordinates in COORDINATES:
        common = {"coordinate_transformation_mode": coordinates}
        for nearest in NEAREST:
            yield "Resize", 18, coordinates, {"mode": "nearest", "nearest_mode": nearest, **common}
        for antialias in (0, 1):
            yield "Resize", 18, coordinates, {"mode": "linear", "antialias": antialias, **common}
            for outside in (0, 1):
                cubic = {"mode": "cubic", "exclude_outside": outside, "antialias": antialias}
                yield "Resize", 18, coordinates, {**cubic, **common}
    for mode in ("nearest", "linear"):
        yield "Resize", 10, "asymmetric", {"mode": mode}
        yield "Upsample", 9, "asymmetric", {"mode": mode}
        yield "Upsample", 7, "asymmetric", {"mode": mode}


def cases(operator, opset, coordinates, attributes):
    kind = {"operator": operator, "opset": opset, "coordinates": coordinates, "attributes": attributes}
    by_scale = [{**kind, "width": w, "scale": s} for w in WIDTHS for s in SCALES if w * s >= 1]
    by_size = [{**kind, "width": w, "size": s} for w in WIDTHS for s in SIZES]
    if operator == "Upsample":
        by_scale = [case for case in by_scale if case["scale"] >= 1]
    np.random.default_rng(1).shuffle(by_scale)
    np.random.default_rng(1).shuffle(by_size)
    by_scale.sort(key=lambda case: not is_delicate(case))
    return by_scale[:KEPT] + (by_size[: KEPT // 2] if opset >= 11 else [])


def main():
    lines = []
    for kind in kinds():
        for case in cases(*kind):
            case["expected"] = [round(float(v), 6) for v in run(case)]
            del case["coordinates"]
            lines.append(json.dumps(case))
    with open(sys.argv[1], "w") as file:
        file.write("[\n" + ",\n".join(lines) + "\n]\n")
    print(len(lines), "cases")


main()
