"""Writes the ONNX project's own tests of operators in a form that is easy to read.

    python scripts/onnx_conformance.py target/onnx-conformance [--all]

Needs numpy and onnx as in `requirements-onnx.txt`. Recent versions of `onnx` compute the tests of
single operators (kind `node`) when asked, here; the tests that PyTorch's first exporters made at
opsets 6 to 9 lie in the wheel (kinds `pytorch-converted`, `pytorch-operator`, `simple`). Only the
operators in OPERATORS are written unless `--all` is given, and only cases of dense tensors of
bool, integers and floats.

`docs/onnx_fixtures.md` describes what is written.
"""

import argparse
import importlib.resources
import json
import shutil
import sys
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

OPERATORS = set(
    """
    Abs Add And ArgMax ArgMin Attention AveragePool BatchNormalization Cast CastLike Ceil Celu
    CenterCropPad Clip Concat Constant ConstantOfShape Conv ConvTranspose Cos CumSum DepthToSpace
    DequantizeLinear Div
    Dropout Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor Gather GatherElements GatherND Gelu Gemm
    GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GroupNormalization HardSigmoid
    HardSwish Hardmax Identity InstanceNormalization IsInf IsNaN LRN LayerNormalization LeakyRelu Less LessOrEqual
    Log LogSoftmax LpNormalization LpPool MatMul Max MaxPool Mean MeanVarianceNormalization Min Mish Mod
    Mul Neg Not OneHot Or PRelu Pad Pow RMSNormalization Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum
    ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape
    Resize Round ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Size Slice Softmax
    Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tan Tanh ThresholdedRelu Tile
    TopK Transpose Trilu Unsqueeze Upsample Where Xor
    """.split()
)
TYPES = {np.dtype(t) for t in "bool i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8".split()}
SAFETENSORS = {"b": "BOOL", "i": "I{}", "u": "U{}", "f": "F{}"}


def computed_cases():
    """(kind, name, model, data sets, rtol, atol) of the tests of single operators."""
    from onnx.backend.test.case.node import collect_testcases

    for case in collect_testcases(None):
        yield "node", case.name, case.model, case.data_sets, case.rtol, case.atol


def stored_cases():
    """The same of the tests that lie in the wheel."""
    data = Path(str(importlib.resources.files("onnx"))) / "backend/test/data"
    for kind in ("node", "pytorch-converted", "pytorch-operator", "simple"):
        for folder in sorted((data / kind).glob("test_*")):
            model = onnx.load(folder / "model.onnx")
            sets = [
                [tensors(data_set, side) for side in ("input", "output")]
                for data_set in sorted(folder.glob("test_data_set_*"))
            ]
            if all(side is not None for data_set in sets for side in data_set):
                yield kind, folder.name, model, sets, 1e-3, 1e-7


def tensors(folder, side):
    """Inputs or outputs in their order; None when one of them is not a tensor."""
    found = []
    for i in range(len(list(folder.glob(f"{side}_*.pb")))):
        try:
            found.append(onnx.TensorProto.FromString((folder / f"{side}_{i}.pb").read_bytes()))
            found[-1] = numpy_helper.to_array(found[-1])
        except Exception:  # Sequences and optionals have another message type.
            return None
    return found


def as_arrays(values):
    """Plain arrays, or None when a value is a sequence, a string or of an uncommon type."""
    arrays = []
    for value in values:
        if isinstance(value, onnx.TensorProto):
            value = numpy_helper.to_array(value)
        if not isinstance(value, (np.ndarray, np.generic)) or np.asarray(value).dtype not in TYPES:
            return None
        arrays.append(np.asarray(value))
    return arrays


def save(path, named):
    """Writes arrays in the safetensors format, in the given order."""
    header, offset, parts = {}, 0, []
    for name, array in named.items():
        array = np.ascontiguousarray(array).reshape(array.shape)
        content = array.astype(array.dtype.newbyteorder("<")).tobytes()
        kind = SAFETENSORS[array.dtype.kind].format(8 * array.dtype.itemsize)
        offsets = [offset, offset + len(content)]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": offsets}
        offset += len(content)
        parts.append(content)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(parts))


def operators_of(model):
    """Every operator of the model, of its functions and of its inner graphs."""
    found = set()
    waiting = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while waiting:
        node = waiting.pop()
        found.add(node.op_type)
        for attribute in node.attribute:
            waiting += attribute.g.node
    return found


def described(case):
    kind, name, model, data_sets, rtol, atol = case
    base = name.split("_expanded")[0]
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [i.name for i in model.graph.input if i.name not in weights]
    assert all(len(given) == len(inputs) for given, _ in data_sets), name
    return {
        "name": name,
        "kind": kind,
        "operators": sorted(operators_of(model)),
        "opset": max(o.version for o in model.opset_import),
        "expanded_from": base if base != name else None,
        "inputs": inputs,
        "outputs": [o.name for o in model.graph.output],
        "rtol": rtol,
        "atol": atol,
    }


def usable_cases(skipped):
    """(line of the index, model, arrays); why others are left out is counted in `skipped`."""
    for case in [*stored_cases(), *computed_cases()]:
        if {o.domain for o in case[2].opset_import} - {"", "ai.onnx"}:
            skipped["operators of another domain"] += 1
            continue
        if "training" in case[1]:
            skipped["training mode"] += 1
            continue
        arrays = [tuple(as_arrays(side) for side in data_set) for data_set in case[3]]
        if any(side is None for data_set in arrays for side in data_set):
            skipped["not dense tensors of common types"] += 1
            continue
        yield described(case), case[2], arrays


def write(line, model, arrays, folder):
    (folder / f"{line['name']}.onnx").write_bytes(model.SerializeToString(deterministic=True))
    line["data"] = [f"{line['name']}.{i}.safetensors" for i in range(len(arrays))]
    for file, (inputs, outputs) in zip(line["data"], arrays):
        named = {f"input_{j}": array for j, array in enumerate(inputs)}
        named |= {f"output_{j}": array for j, array in enumerate(outputs)}
        save(folder / file, named)


def emptied(folder):
    if folder.exists():
        if any(folder.iterdir()) and not (folder / "index.json").exists():
            sys.exit(f"{folder} holds something else: name an empty folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--all", action="store_true", help="operators that are not claimed, too")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    folder, skipped, lines = emptied(arguments.folder), Counter(), []
    cases = list(usable_cases(skipped))
    plain = {line["name"]: line["operators"] for line, _, _ in cases if not line["expanded_from"]}
    for line, model, arrays in cases:
        # An expanded test is about the operator that was expanded.
        about = plain.get(line["expanded_from"], line["operators"])
        line["operator"] = about[0] if len(about) == 1 else None
        if arguments.all or OPERATORS.issuperset(about):
            write(line, model, arrays, folder)
            lines.append(line)
        else:
            skipped["operators that are not claimed"] += 1
    lines.sort(key=lambda line: line["name"])
    index = {"onnx": onnx.__version__, "cases": lines}
    (folder / "index.json").write_text(json.dumps(index, indent=1) + "\n")
    covered = {operator for line in lines for operator in line["operators"]}
    for reason, count in skipped.items():
        print(f"left out, {reason}: {count}")
    print(f"claimed, yet without a case: {' '.join(sorted(OPERATORS - covered)) or 'none'}")
    print(f"{len(lines)} cases of {len(covered)} operators")


if __name__ == "__main__":
    main()
