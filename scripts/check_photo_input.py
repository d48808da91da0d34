"""Checks a detector that was compiled with `--input photo-u8` against one that was compiled of the same model with
`--input pixels-u8`, whose images Pillow has resized and cropped:

    python scripts/check_photo_input.py photo.onnx pixels.onnx

Photos are random and smooth, of several sizes. Prints how many of the levels that the network gets differ, and by
how much, and the largest difference of each output, in ONNX Runtime and, where it is installed, OpenVINO. Leaves with
status 1 when a level differs by more than one, more than a fiftieth of them differ, or a prediction does. Needs
numpy, onnx, onnxruntime and pillow.
"""

import sys

import numpy as np
import onnx
import onnxruntime
from PIL import Image

PREPARED = "odin.photo/prepared"
FILTERS = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "lanczos": Image.LANCZOS}
SIZES = [(480, 640), (641, 427), (300, 300), (97, 1013), (1200, 1600), (260, 231)]


def photo(height, width, channels, rng):
    """Edges, gradients and noise."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    waves = [np.sin(rng.uniform(5, 90) * x + rng.uniform(5, 90) * y + rng.uniform(0, 6)) for _ in range(channels)]
    levels = 127 + 90 * np.sign(np.stack(waves, -1)) * x[..., None] + rng.normal(0, 25, (height, width, channels))
    return np.clip(levels, 0, 255).astype(np.uint8)


def prepared(image, notation):
    """As Pillow does it."""
    image = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    for step in notation.split(","):
        name, size, *filters = step.split(":")
        width, height = image.size
        if name == "resize" and "x" in size:
            h, w = map(int, size.split("x"))
            image = image.resize((w, h), FILTERS[filters[0]])
        elif name == "resize":
            side = int(size)
            w, h = (side * width // height, side) if height <= width else (side, side * height // width)
            image = image.resize((w, h), FILTERS[filters[0]])
        else:
            h, w = map(int, size.split("x"))
            top, left = round((height - h) / 2), round((width - w) / 2)
            image = image.crop((left, top, left + w, top + h))
    levels = np.asarray(image)
    return levels[..., None] if levels.ndim == 2 else levels


def in_onnxruntime(model):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda images: dict(zip(names, session.run(None, {"images": images})))


def in_openvino(model):
    import openvino

    core = openvino.Core()
    compiled = core.compile_model(core.read_model(model.SerializeToString()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(images):
        found = compiled({"images": images})
        return {name: found[output] for output in compiled.outputs for name in output.names}

    return run


def main():
    of_photos, of_pixels = map(onnx.load, sys.argv[1:])
    onnx.checker.check_model(of_photos, full_check=True)
    notation = {p.key: p.value for p in of_photos.metadata_props}["odin.transform"]
    outputs = [output.name for output in of_photos.graph.output]
    channels = of_photos.graph.input[0].type.tensor_type.shape.dim[3].dim_value
    shape = ["N"] + [d.dim_value for d in of_pixels.graph.input[0].type.tensor_type.shape.dim][1:]
    of_photos.graph.output.append(onnx.helper.make_tensor_value_info(PREPARED, onnx.TensorProto.FLOAT, shape))
    runtimes = {"ONNX Runtime": in_onnxruntime}
    try:
        import openvino  # noqa: F401

        runtimes["OpenVINO"] = in_openvino
    except ImportError:
        print("OpenVINO is not installed")
    reference, bad = in_onnxruntime(of_pixels), False
    for name, load in runtimes.items():
        run, rng, differing, all_levels, largest = load(of_photos), np.random.default_rng(3), 0, 0, 0
        differences = dict.fromkeys(outputs, 0.0)
        for height, width in SIZES:
            photos = np.stack([photo(height, width, channels, rng) for _ in range(2)])
            levels = np.stack([prepared(image, notation) for image in photos])
            found, expected = run(photos), reference(levels)
            off = np.abs(found[PREPARED].astype(int) - levels)
            differing, all_levels, largest = differing + (off > 0).sum(), all_levels + off.size, max(largest, off.max())
            for output in outputs:
                difference = np.abs(found[output].astype(float) - expected[output].astype(float)).max()
                differences[output] = max(differences[output], difference)
        bad |= largest > 1 or differing > all_levels / 50 or differences["prediction"] > 0
        print(f"{name}: {differing} of {all_levels} levels differ, by {largest} at most")
        print("  largest differences: " + ", ".join(f"{key} {value:.2g}" for key, value in differences.items()))
    sys.exit(int(bad))


main()
