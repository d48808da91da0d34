"""Writes small ONNX classifiers that are put together node by node, quantised, or made by
skl2onnx, with what ONNX Runtime computes of them.

    python scripts/onnx_read_cases.py crates/odin-formats/tests/fixtures/onnx_read

Needs `onnxruntime`, `skl2onnx` and `scikit-learn` as in `requirements-onnx.txt`. `cases.json` says
of each file what it takes, what ONNX Runtime gives, and what that is compared with: the logits as
they are, the probabilities that are their softmax, the second of these, or their sigmoids.
"""

import json
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from skl2onnx import to_onnx
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, StandardScaler

IMAGES = 5
CLASSES = 4
rng = np.random.default_rng(17)
folder = Path(sys.argv[1])
cases = []


def normal(*shape):
    return rng.normal(size=shape).astype(np.float32)


def run(model, x):
    """The last output, which is that of the logits or probabilities."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Optimised, products with dequantised weights quantise the other operand as well.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    output = session.run(None, {session.get_inputs()[0].name: x})[-1]
    if isinstance(output, list):  # maps of scikit-learn
        output = np.array([list(row.values()) for row in output])
    return output


def add(name, model, x, compare="logits", tolerance=1e-5, **more):
    onnx.save(model, folder / f"{name}.onnx")
    numbers = lambda array: [float(f"{v:.8g}") for v in np.asarray(array).ravel()]
    expected = run(model, x)
    assert np.isfinite(expected).all(), name
    tolerance = max(tolerance, 1e-6 * float(np.abs(expected).max()))
    cases.append(
        {
            "name": name,
            "shape": list(x.shape),
            "x": numbers(x),
            "compare": compare,
            "tolerance": tolerance,
            "expected": numbers(expected),
            **more,
        }
    )


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def model_of(nodes, shape, constants=(), sparse=(), opset=20, classes=CLASSES):
    constants = [
        numpy_helper.from_array(np.asarray(value), name) for name, value in dict(constants).items()
    ]
    graph = helper.make_graph(
        nodes,
        "case",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", classes])],
        constants,
        sparse_initializer=list(sparse),
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def of_nodes(name, nodes, shape, constants=(), sparse=(), **more):
    add(name, model_of(nodes, shape, constants, sparse), normal(IMAGES, *shape), **more)


ROWS, COLUMNS = 3, 4
END = [node("Flatten", "o", "r"), node("MatMul", "r W", "y")]


def attention(name, mask, constants, scores="s", **more):
    """Scaled scores of three positions, masked, and what they pick."""
    nodes = [
        node("Transpose", "x", "t", perm=[0, 2, 1]),
        node("MatMul", "x t", "s"),
        *mask,
        node("Softmax", "m", "a", axis=-1),
        node("MatMul", "a x", "o"),
        *END,
    ]
    constants = {"W": normal(ROWS * COLUMNS, CLASSES), **constants}
    of_nodes(name, nodes, [ROWS, COLUMNS], constants, **more)


def masks():
    lowest = np.float32(-np.inf)
    square = np.full((ROWS, ROWS), lowest, np.float32)
    attention(
        "trilu_of_infinity",
        [node("Trilu", "square one", "u", upper=1), node("Add", "s u", "m")],
        {"square": square, "one": np.int64(1)},
    )
    attention(
        "trilu_of_bool",
        [node("Trilu", "all", "u", upper=0), node("Where", "u s lowest", "m")],
        {"all": np.ones((ROWS, ROWS), bool), "lowest": lowest},
    )
    attention(
        "trilu_of_shape",
        [
            node("Shape", "s", "extents", start=1),
            node(
                "ConstantOfShape",
                "extents",
                "c",
                value=numpy_helper.from_array(np.array([-1e4], np.float32)),
            ),
            node("Trilu", "c one", "u", upper=1),
            node("Add", "s u", "m"),
        ],
        {"one": np.int64(1)},
    )
    for upper, diagonal in [(0, 0), (1, -1), (0, -2), (1, 2)]:
        attention(
            f"trilu_of_scores_{upper}_{diagonal}",
            [node("Trilu", "s k", "m", upper=upper)],
            {"k": np.int64(diagonal)},
        )
    attention(
        "is_nan_of_empty_rows",
        [
            node("Greater", "s zero", "positive"),
            node("Where", "positive s lowest", "n"),
            node("Softmax", "n", "p", axis=-1),
            node("IsNaN", "p", "nan"),
            node("Where", "nan zero p", "m"),
        ],
        {"zero": np.float32(0), "lowest": lowest},
    )
    attention(
        "mask_of_masks",
        [
            node("Greater", "s zero", "a1"),
            node("Less", "s two", "a2"),
            node("And", "a1 a2", "a3"),
            node("Not", "a1", "a4"),
            node("Or", "a3 a4", "a5"),
            node("IsInf", "w", "a6"),
            node("Equal", "s s", "a7"),
            node("And", "a5 a7", "a8"),
            node("Or", "a8 a6", "a9"),
            node("Where", "a9 s minus", "m"),
            node("Where", "a1 lowest s", "w"),
        ],
        {"zero": np.float32(0), "two": np.float32(2), "minus": np.float32(-3), "lowest": lowest},
    )
    model = onnx.load(folder / "mask_of_masks.onnx")
    assert model.graph.node[7].op_type == "IsInf"  # before the node that it reads


def picks():
    constants = {"v": normal(6), "k": np.array([3]), "W": normal(3, CLASSES)}
    of_nodes(
        "top_k_of_constant",
        [
            node("TopK", "v k", "values places", axis=-1),
            node("Gather", "x places", "g", axis=1),
            node("Mul", "g values", "r"),
            node("MatMul", "r W", "y"),
        ],
        [6],
        constants,
    )
    for largest in (0, 1):
        of_nodes(
            f"top_1_largest_{largest}",
            [
                node("TopK", "x one", "r places", axis=1, largest=largest),
                node("Flatten", "r", "f"),
                node("MatMul", "f W", "y"),
            ],
            [ROWS, COLUMNS],
            {"one": np.array([1]), "W": normal(COLUMNS, CLASSES)},
        )
    end = [node("MatMul", "r W", "y")]
    of_nodes(
        "gather_nd_two_axes",
        [
            node("Transpose", "x", "t", perm=[1, 2, 0]),
            node("GatherND", "t places", "g"),
            node("Transpose", "g", "r", perm=[1, 0]),
            *end,
        ],
        [ROWS, COLUMNS],
        {"places": np.array([[0, 1], [2, 3], [1, 0], [-1, -1], [1, 0]]), "W": normal(5, CLASSES)},
    )
    of_nodes(
        "gather_nd_batch_dims",
        [
            node("Shape", "x", "n", end=1),
            node("Concat", "n rest", "shape", axis=0),
            node("Expand", "places shape", "repeated"),
            node("GatherND", "x repeated", "r", batch_dims=1),
            *end,
        ],
        [ROWS, COLUMNS],
        {
            "places": np.array([[[0, 1], [2, -1], [1, 0]]]),
            "rest": np.array([3, 2]),
            "W": normal(3, CLASSES),
        },
    )
    of_nodes(
        "gather_nd_of_constant",
        [node("GatherND", "v places", "W"), node("MatMul", "x W", "y")],
        [6],
        {"v": normal(6, 2, CLASSES), "places": np.array([[row, row % 2] for row in range(6)])},
    )
    of_nodes(
        "gather_nd_of_parts",
        [node("GatherND", "v places", "W", batch_dims=1), node("MatMul", "x W", "y")],
        [6],
        {"v": normal(6, 2, CLASSES), "places": np.array([[row % 2] for row in range(6)])},
    )
    of_nodes(
        "gather_nd_of_shape",
        [
            node("GatherND", "v places", "shape"),
            node("Reshape", "x shape", "r"),
            node("MatMul", "r W", "y"),
        ],
        [6],
        {
            "v": np.array([[-1, 1], [0, 6]]),
            "places": np.array([[0, 0], [1, 1]]),
            "W": normal(6, CLASSES),
        },
    )


def sparse():
    dense = np.zeros((6, CLASSES), np.float32)
    flat = np.array([1, 5, 11, 14, 20])
    dense.reshape(-1)[flat] = normal(5)
    places = {"flat": flat, "coordinates": np.stack(np.unravel_index(flat, dense.shape), 1)}
    for name, indices in places.items():
        weight = helper.make_sparse_tensor(
            numpy_helper.from_array(dense.reshape(-1)[flat], "W"),
            numpy_helper.from_array(indices.astype(np.int64), "W_places"),
            dense.shape,
        )
        of_nodes(f"sparse_{name}", [node("MatMul", "x W", "y")], [6], sparse=[weight])


class Images(CalibrationDataReader):
    def __init__(self, x):
        self.left = iter([{"x": x}])

    def get_next(self):
        return next(self.left, None)


def quantized():
    """Tolerances are a few steps of the quantised numbers, which are not rounded when read."""
    nodes = [
        node("Conv", "x k b", "c", pads=[1, 1, 1, 1]),
        node("Relu", "c", "r"),
        node("MaxPool", "r", "p", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", "p k2", "c2", pads=[1, 1, 1, 1]),
        node("Add", "c2 p", "s"),
        node("Relu", "s", "r2"),
        node("GlobalAveragePool", "r2", "g"),
        node("Flatten", "g", "f"),
        node("Gemm", "f W B", "y", transB=1),
    ]
    constants = {
        "k": normal(8, 3, 3, 3) / 4,
        "b": normal(8),
        "k2": normal(8, 8, 3, 3) / 8,
        "W": normal(CLASSES, 8) * 2,
        "B": normal(CLASSES),
    }
    model = model_of(nodes, [3, 8, 8], constants, opset=13)
    calibration, x = normal(64, 3, 8, 8), normal(IMAGES, 3, 8, 8)
    signed, unsigned = QuantType.QInt8, QuantType.QUInt8
    with tempfile.TemporaryDirectory() as temporary:
        source, target = Path(temporary) / "float.onnx", Path(temporary) / "quantized.onnx"
        onnx.save(model, source)
        for name, activations, weights, each in [
            ("qdq_int8", signed, signed, False),
            ("qdq_int8_per_channel", signed, signed, True),
            ("qdq_uint8", unsigned, unsigned, False),
            ("qdq_uint8_int8_per_channel", unsigned, signed, True),
        ]:
            quantize_static(
                source,
                target,
                Images(calibration),
                quant_format=QuantFormat.QDQ,
                activation_type=activations,
                weight_type=weights,
                per_channel=each,
            )
            spread = float(np.ptp(run(model, x)))
            add(name, onnx.load(target), x, tolerance=0.02 * spread, notice="quantised")
    # Weights alone: nothing is rounded that is computed from the image.
    weight = {"q": rng.integers(-127, 128, (6, CLASSES)).astype(np.int8)}
    for name, axis, scale, zero in [
        ("dequantized", 1, np.float32(0.02), np.int8(3)),
        ("dequantized_rows", 0, (normal(6) ** 2 + 0.01), None),
        ("dequantized_columns", 1, (normal(CLASSES) ** 2 + 0.01), np.array([1, -2, 0, 5], np.int8)),
    ]:
        constants = {**weight, "s": scale, **({} if zero is None else {"z": zero})}
        operands = "q s" if zero is None else "q s z"
        of_nodes(
            name,
            [node("DequantizeLinear", operands, "W", axis=axis), node("MatMul", "x W", "y")],
            [6],
            constants,
            notice="quantised",
        )
    of_nodes(
        "quantized_and_bounded",
        [
            node("MatMul", "x W", "f"),
            node("QuantizeLinear", "f s z", "a"),
            node("DequantizeLinear", "a s z", "d"),
            node("QuantizeLinear", "B s2 z2", "B1"),
            node("DequantizeLinear", "B1 s2 z2", "B2"),
            node("MatMul", "d B2", "y"),
        ],
        [6],
        {
            "W": normal(6, 6),
            "s": np.float32(0.005),
            "z": np.uint8(20),
            "B": normal(6, CLASSES),
            "s2": np.float32(0.05),
            "z2": np.int8(0),
        },
        notice="quantised",
        tolerance=0.03,
    )


def bounded_sigmoids():
    """Probabilities with bounds behind them: those of a loss, and those of a quantised file."""
    own = np.random.default_rng(18)
    draw = lambda *shape: own.normal(size=shape).astype(np.float32)
    for classes, compare in [(3, "sigmoid"), (1, "second")]:
        product = [node("MatMul", "x W", "z"), node("Sigmoid", "z", "p")]
        quantise = [node("QuantizeLinear", "p s o", "q"), node("DequantizeLinear", "q s o", "y")]
        # The largest probability that it can represent is 0.78.
        steps = {"s": np.float32(0.00306), "o": np.int8(-128)}
        bounds = {"l": np.float32(1e-7), "h": np.float32(1 - 1e-7)}
        for name, nodes, constants, tolerance in [
            ("clipped", [node("Clip", "p l h", "y")], bounds, 1e-5),
            ("quantized", quantise, steps, 0.004),
        ]:
            constants = {"W": draw(6, classes) / 4, **constants}
            model = model_of(product + nodes, [6], constants, classes=classes)
            name = f"sigmoid_{name}_{classes}"
            add(name, model, draw(IMAGES, 6), compare, tolerance, notice="igmoid")


def scikit_learn():
    """Flowers that never grew: three clouds in four dimensions."""
    labels = np.arange(150) % 3
    x = (normal(150, 4) + 2 * normal(3, 4)[labels]).astype(np.float32)
    names = np.array(["iris", "lily", "rose"])[labels]
    logistic = LogisticRegression(max_iter=500)
    for name, classifier, y, compare in [
        ("logistic", logistic, names, "softmax"),
        ("logistic_binary", logistic, labels // 2 * 4 + 3, "softmax"),
        ("logistic_one_rest", OneVsRestClassifier(logistic), labels, "softmax"),
        ("scaled", make_pipeline(StandardScaler(), logistic), labels, "softmax"),
        ("range", make_pipeline(MinMaxScaler(), logistic), labels, "softmax"),
        ("unit", make_pipeline(Normalizer(), logistic), labels, "softmax"),
        ("unit_l1", make_pipeline(Normalizer("l1"), logistic), labels, "softmax"),
        ("principal", make_pipeline(PCA(2), logistic), labels, "softmax"),
        ("discriminant", LinearDiscriminantAnalysis(), labels, "softmax"),
        ("perceptron_layers", MLPClassifier((6,), max_iter=400, random_state=0), labels, "softmax"),
        ("perceptron_layers_binary", MLPClassifier((6,), max_iter=400, random_state=0), labels // 2, "softmax"),
        ("naive_bayes", GaussianNB(), labels, "softmax"),
        ("perceptron", Perceptron(random_state=0), labels, "logits"),
    ]:
        classifier.fit(x, y)
        for maps in (True, False) if name.startswith("logistic") else (True,):
            model = to_onnx(classifier, x[:1], options={id(classifier): {"zipmap": maps}})
            of = [str(c) for c in classifier.classes_]
            said = of if of != [str(i) for i in range(len(of))] else None
            named = said if maps or name == "logistic" else None
            named = said if name == "logistic_binary" else named
            file = f"sklearn_{name}" + ("" if maps else "_rows")
            add(file, model, x[:IMAGES], compare, tolerance=2e-5, class_names=named)


warnings.filterwarnings("ignore")
folder.mkdir(parents=True, exist_ok=True)
for write in (masks, picks, sparse, quantized, scikit_learn, bounded_sigmoids):
    write()
lines = ",\n".join(json.dumps(case) for case in cases)
(folder / "cases.json").write_text(f"[\n{lines}\n]\n")
