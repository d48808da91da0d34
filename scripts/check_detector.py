"""Checks a detector file with the ONNX checker and runs it in ONNX Runtime (graph optimisation
off and full) and in OpenVINO.

    python scripts/check_detector.py detector.onnx
    python scripts/check_detector.py detector.onnx --images DIR --against scores.csv

Without --images it scores random pixels and compares the runtimes with one another. DIR is a folder
or an `.npy` file of images. The columns of --against are those of `odin score` and `odin eval
--scores`: file, prediction, scores, percentile, p_value; columns logit0, logit1, ... are compared as
well where they are there. `docs/detector_file.md` says what a detector is; the
runtimes are in `scripts/requirements-onnx.txt`, with `openvino` and `pillow` beside them.

Leaves with status 1 when a prediction differs, or a score by more than the tolerances.
"""

import argparse
import csv
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

OUTPUTS = {
    "logits": (onnx.TensorProto.FLOAT, 2),
    "prediction": (onnx.TensorProto.INT64, 1),
    "percentile": (onnx.TensorProto.FLOAT, 1),
    "p_value": (onnx.TensorProto.FLOAT, 1),
    "is_in_distribution": (onnx.TensorProto.BOOL, 1),
}


def scores_of(properties):
    return properties.get("odin.scores", "msp,odin").split(",")


def check_file(path):
    """The file as the ONNX project sees it; returns its metadata properties."""
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)], model.opset_import
    assert {n.domain for n in model.graph.node} == {""}, "operators beyond the standard ones"

    properties = {p.key: p.value for p in model.metadata_props}
    known = OUTPUTS | {name: (onnx.TensorProto.FLOAT, 1) for name in scores_of(properties)}
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    for output in inferred.graph.output:
        tensor = output.type.tensor_type
        expected, rank = known[output.name]
        assert tensor.elem_type == expected, f"{output.name} has element type {tensor.elem_type}"
        extents = [d.dim_param or d.dim_value for d in tensor.shape.dim]
        assert len(extents) == rank and extents[0] == "N", f"{output.name} has shape {extents}"

    names = [i.name for i in model.graph.initializer] + [o for n in model.graph.node for o in n.output]
    assert len(names) == len(set(names)), "two values of one name"
    weights = sum(len(i.raw_data) for i in model.graph.initializer)
    # Nodes that resize and crop have constants of their own.
    constants = [i for i in model.graph.initializer if not i.name.startswith("odin.photo/")]
    contents = {(i.data_type, tuple(i.dims), i.raw_data) for i in constants}
    assert len(contents) == len(constants), "a constant is stored twice"
    size = Path(path).stat().st_size
    print(f"{path}: {size} bytes, of which constants {weights}; {len(model.graph.node)} nodes")
    print("operators:", ", ".join(sorted({n.op_type for n in model.graph.node})))
    for key, value in properties.items():
        print(f"  {key} = {value if len(value) < 70 else value[:67] + '...'!r}")
    return model, properties


class Input:
    """How a batch of pixels [N, C, H, W], 0 to 255, becomes the file's input."""

    def __init__(self, model, properties):
        info = model.graph.input[0]
        self.name = info.name
        self.kind = properties["odin.input"]
        self.layout = properties["odin.layout"]
        self.extents = [d.dim_value for d in info.type.tensor_type.shape.dim][1:]
        self.mean, self.std = (
            np.array([float(v) for v in properties[f"odin.{key}"].split(",")], np.float32)
            for key in ("mean", "std")
        )

    def random(self, count):
        generator = np.random.default_rng(0)
        return generator.integers(0, 256, (count, *self.extents), dtype=np.uint8)

    def of_files(self, folder, files):
        from PIL import Image

        if folder.endswith(".npy"):
            images = np.load(folder)[: len(files)]
            images = images if images.ndim == 4 else images[:, None]
            channels_last = self.kind == "pixels-u8"
            return images.transpose(0, 2, 3, 1) if channels_last else images
        images = np.stack([np.atleast_3d(np.array(Image.open(Path(folder) / f))) for f in files])
        channels_last = self.kind == "pixels-u8" or (self.kind == "normalized" and self.layout == "NHWC")
        images = images if channels_last else images.transpose(0, 3, 1, 2)
        return images.reshape(len(files), *self.extents)

    def prepare(self, pixels):
        """Of pixels in the order of the file's input already."""
        if self.kind == "pixels-u8":
            return pixels
        pixels = pixels.astype(np.float32) / np.float32(255)
        if self.kind == "pixels-f32":
            return pixels
        shape = [1] * pixels.ndim
        shape[{"NHWC": 3, "NLC": 2}.get(self.layout, 1)] = len(self.mean)
        return (pixels - self.mean.reshape(shape)) / self.std.reshape(shape)


def onnx_runtime(path, level):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    feed = session.get_inputs()[0].name
    return lambda batch: dict(zip(names, session.run(names, {feed: batch})))


def openvino(path):
    import openvino as ov

    core = ov.Core()
    compiled = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    # Outputs of one value are one output of several names.
    names = [o.get_names() for o in compiled.outputs]
    return lambda batch: {n: value for own, value in zip(names, compiled(batch).values()) for n in own}


RUNTIMES = {
    "onnxruntime, no optimisation": lambda path: onnx_runtime(
        path, onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    ),
    "onnxruntime, all optimisations": lambda path: onnx_runtime(
        path, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    ),
    "openvino": openvino,
}


def run(runtime, batch, sizes):
    """All outputs of a batch run in parts of these sizes in turn, and the seconds that took."""
    parts, start, turn, begun = [], 0, 0, time.perf_counter()
    while start < len(batch):
        size = sizes[turn % len(sizes)]
        parts.append(runtime(batch[start : start + size]))
        start, turn = start + size, turn + 1
    seconds = time.perf_counter() - begun
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}, seconds


def read_scores(path, limit, scores):
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))[:limit]
    known = [k for k in rows[0] if k in {*scores, "percentile", "p_value"}]
    scores = {k: np.array([float(r[k]) for r in rows]) for k in known}
    scores["prediction"] = np.array([int(r["prediction"]) for r in rows])
    logits = [k for k in rows[0] if k.startswith("logit")]
    if logits:
        scores["logits"] = np.array([[float(r[k]) for k in logits] for r in rows])
    return [r["file"] for r in rows], scores


def compare(name, found, expected, arguments, seconds):
    """Prints the differences; returns whether they are within the tolerances."""
    count = len(found["prediction"])
    different = int((found["prediction"] != expected["prediction"]).sum())
    print(f"{name:31} predictions that differ {different} of {count}; {1000 * seconds / count:.1f} ms per image")
    agree = different == 0
    tolerances = {"msp": arguments.msp_tolerance, "odin": arguments.odin_tolerance}
    for output in ["logits", *arguments.scores, "percentile", "p_value"]:
        if output not in expected or output not in found:
            continue
        difference = np.abs(found[output].astype(np.float64) - expected[output])
        # A percentile jumps where a score passes one of the calibration.
        relative = arguments.tolerance * max(1.0, np.abs(expected[output]).max())
        tolerance = {"percentile": 1.0, "p_value": 0.01, **tolerances}.get(output, relative)
        if output == "weiper-kld":  # a step where a value moves over the edge of a bin
            tolerance = max(1e-2, relative)
        agree &= bool(difference.max() <= tolerance)
        print(f"    {output:22} {difference.max():.1e}, median {np.median(difference):.1e}, allowed {tolerance:.1e}")
    if "is_in_distribution" in found:
        decides = found[arguments.decides_by]
        wrong = int((found["is_in_distribution"] != (decides >= arguments.threshold(found["prediction"]))).sum())
        print(f"    decisions against the threshold {wrong}")
        agree &= wrong == 0
    return agree


def threshold(properties):
    """A function of the predictions."""
    classes = properties.get("odin.class_thresholds")
    if classes:
        return np.array([float(t) for t in classes.split(",")], np.float32).__getitem__
    return lambda _: np.float32(properties.get("odin.threshold", "nan"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("detector")
    parser.add_argument("--images", help="the folder that the files of --against lie in")
    parser.add_argument("--against", help="scores to compare with, as CSV")
    parser.add_argument("--limit", type=int, default=100, help="the number of images (100)")
    parser.add_argument("--batches", default="16,1,7", help="the sizes of the batches, in turn")
    parser.add_argument("--runtimes", nargs="*", default=list(RUNTIMES), choices=list(RUNTIMES))
    parser.add_argument("--msp-tolerance", type=float, default=2e-5)
    parser.add_argument("--odin-tolerance", type=float, default=2e-5)
    parser.add_argument("--tolerance", type=float, default=2e-4, help="of other scores, relative to the largest")
    parser.add_argument("--save", help="writes the input and the first runtime's outputs as npz")
    arguments = parser.parse_args()
    if bool(arguments.images) != bool(arguments.against):
        parser.error("--images and --against belong together")

    model, properties = check_file(arguments.detector)
    arguments.scores = scores = scores_of(properties)
    arguments.decides_by = properties.get("odin.decides_by", "odin")
    arguments.threshold = threshold(properties)
    source = Input(model, properties)
    files, expected = None, None
    if arguments.against:
        files, expected = read_scores(arguments.against, arguments.limit, scores)
        pixels = source.of_files(arguments.images, files)
    else:
        pixels = source.random(arguments.limit)
    batch = source.prepare(pixels)

    sizes = [int(size) for size in arguments.batches.split(",")]
    agree = True
    for name in arguments.runtimes:
        found, seconds = run(RUNTIMES[name](arguments.detector), batch, sizes)
        if arguments.save:
            np.savez(arguments.save, input=batch, **found)
            arguments.save = None
        expected = expected or {k: v.astype(np.float64) for k, v in found.items()}
        agree &= compare(name, found, expected, arguments, seconds)
    sys.exit(0 if agree else 1)


if __name__ == "__main__":
    main()
