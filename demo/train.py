"""Trains the classifier of the embedded demonstration and writes all its files.

    python demo/train.py

In-distribution: handwritten digits 0-5. Near out-set: digits 6-9, which take
no part in training or in the choice of any setting. README.md beside this file
says what is written and how the magnitude is chosen.
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor

from densenet import DenseNetBC
from reference import Scores, exact_metrics, odin_scores

SEED = 20180430
CLASSES = 6
DEPTH, GROWTH = 22, 12
EPOCHS, BATCH_SIZE = 100, 64
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 5e-4

TEMPERATURE = 1000.0
MAGNITUDES = [round(0.005 * i, 3) for i in range(21)]
TUNING_FOLDS = [(0, 1), (2, 3), (4, 5)]
SCORES_LISTED = 20


@dataclass(frozen=True)
class Part:
    """Images u8 [N, 1, 8, 8] and their digits u8 [N], in the source's order."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def of(self, digits: list[int]) -> "Part":
        keep = np.isin(self.labels, digits)
        return Part(self.images[keep], self.labels[keep])

    def pixels(self, dtype: torch.dtype) -> Tensor:
        return torch.from_numpy(self.images).to(dtype) / 255


@dataclass(frozen=True)
class Trained:
    """A classifier of `digits`, with the normalisation of its training images."""

    model: DenseNetBC
    digits: list[int]
    mean: float
    std: float

    def scores(self, pixels: Tensor, magnitudes: list[float]) -> list[Scores]:
        model = self.model.to(pixels.dtype)
        return odin_scores(model, pixels, self.mean, self.std, TEMPERATURE, magnitudes)

    def accuracy(self, part: Part) -> float:
        with torch.no_grad():
            logits = self.model.double()((part.pixels(torch.float64) - self.mean) / self.std)
        digits = np.array(self.digits)[logits.argmax(dim=1).numpy()]
        return float((digits == part.labels).mean())


def load_parts() -> dict[str, Part]:
    """In-distribution split in 3 : 1 : 2, the same share of every class."""
    digits = load_digits()
    images = np.round(digits.images * 255 / 16).astype(np.uint8)[:, None]
    labels = digits.target.astype(np.uint8)

    inside = np.flatnonzero(labels < CLASSES)
    rest, test = train_test_split(
        inside, test_size=1 / 3, random_state=SEED, stratify=labels[inside]
    )
    train, validation = train_test_split(
        rest, test_size=1 / 4, random_state=SEED, stratify=labels[rest]
    )
    near = np.flatnonzero(labels >= CLASSES)
    indices = {"train": train, "validation": validation, "in": test, "near": near}
    return {name: Part(images[np.sort(i)], labels[np.sort(i)]) for name, i in indices.items()}


def shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image moved by -1, 0 or 1 pixels along both axes, black moving in."""
    size = images.shape[-1]
    padded = F.pad(images, (1, 1, 1, 1))
    top, left = torch.randint(3, (2, len(images)), generator=generator)
    rows = top[:, None, None] + torch.arange(size)[:, None]
    columns = left[:, None, None] + torch.arange(size)
    return padded[torch.arange(len(images))[:, None, None], 0, rows, columns][:, None]


def train(part: Part, digits: list[int]) -> Trained:
    """SGD with momentum and a cosine schedule; the last epoch is kept."""
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    part = part.of(digits)
    pixels = part.pixels(torch.float32)
    targets = torch.from_numpy(np.searchsorted(digits, part.labels))
    # Rounded, so that the number written down is the number trained with.
    mean = round(float(part.images.mean() / 255), 6)
    std = round(float(part.images.std() / 255), 6)

    model = DenseNetBC(DEPTH, GROWTH, in_channels=1, classes=len(digits))
    optimiser = torch.optim.SGD(
        model.parameters(), LEARNING_RATE, MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, EPOCHS)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(part), generator=generator).split(BATCH_SIZE):
            x = (shifted(pixels[batch], generator) - mean) / std
            loss = F.cross_entropy(model(x), targets[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
    return Trained(model.eval().requires_grad_(False), digits, mean, std)


def tune_magnitude(parts: dict[str, Part]) -> dict:
    """The magnitude with the least FPR at 95 % TPR where training classes play
    the out-set, averaged over the folds; ties go to the smaller magnitude."""
    folds = []
    for held_out in TUNING_FOLDS:
        digits = [d for d in range(CLASSES) if d not in held_out]
        trained = train(parts["train"], digits)
        inside = parts["validation"].of(digits)
        outside = torch.cat(
            [parts[name].of(held_out).pixels(torch.float64) for name in ("train", "validation")]
        )
        in_scores = trained.scores(inside.pixels(torch.float64), MAGNITUDES)
        out_scores = trained.scores(outside, MAGNITUDES)
        fpr = [
            exact_metrics(i.odin, o.odin)["fpr_at_95_tpr"] for i, o in zip(in_scores, out_scores)
        ]
        folds.append(fpr)
        print(f"  digits {held_out} held out: accuracy {trained.accuracy(inside):.4f}, "
              f"n {len(inside)} in, {len(outside)} out, FPR95 {min(fpr):.4f} to {max(fpr):.4f}")
    mean_fpr = np.mean(folds, axis=0)
    return {
        "rule": "least mean FPR at 95 % TPR over models that hold out two training classes each",
        "held_out_classes": TUNING_FOLDS,
        "magnitudes": MAGNITUDES,
        "mean_fpr_at_95_tpr": mean_fpr.tolist(),
        "magnitude": MAGNITUDES[int(np.argmin(mean_fpr))],
    }


def noise(count: int) -> dict[str, Tensor]:
    rng = np.random.default_rng(SEED)
    shape = (count, 1, 8, 8)
    return {
        "uniform": torch.from_numpy(rng.random(shape)),
        "gaussian": torch.from_numpy(rng.normal(0.5, 1.0, shape).clip(0, 1)),
    }


def compare(inside: Scores, outside: Scores) -> dict:
    return {
        "n_in": len(inside.msp),
        "n_out": len(outside.msp),
        "baseline": exact_metrics(inside.msp, outside.msp),
        "odin": exact_metrics(inside.odin, outside.odin),
    }


def listed(scores: Scores) -> list[dict]:
    return [
        {
            "prediction": int(scores.prediction[i]),
            "msp": float(scores.msp[i]),
            "odin": float(scores.odin[i]),
            "logits": scores.logits[i].tolist(),
        }
        for i in range(SCORES_LISTED)
    ]


def write_model(path: Path, trained: Trained, metadata: dict[str, str]) -> int:
    """Writes f32 safetensors, the header's keys sorted so that equal weights
    give equal bytes. Returns the number of parameters."""
    tensors = {
        name: tensor.float().contiguous()
        for name, tensor in trained.model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    blob = safetensors.torch.save(tensors, metadata)
    length = int.from_bytes(blob[:8], "little")
    header = json.dumps(json.loads(blob[8 : 8 + length]), sort_keys=True, separators=(",", ":"))
    header = header.encode() + b" " * (-len(header) % 8)
    path.write_bytes(len(header).to_bytes(8, "little") + header + blob[8 + length :])
    return sum(p.numel() for p in trained.model.parameters())


def write_part(folder: Path, name: str, part: Part) -> None:
    np.save(folder / f"{name}.npy", np.ascontiguousarray(part.images))
    np.save(folder / f"{name}_labels.npy", part.labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="output folder")
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)

    started = time.perf_counter()
    parts = load_parts()
    print("images: " + ", ".join(f"{name} {len(part)}" for name, part in parts.items()))

    print("training the classifier")
    trained = train(parts["train"], list(range(CLASSES)))
    accuracy = {name: trained.accuracy(parts[name]) for name in ("train", "validation", "in")}
    print("  accuracy: " + ", ".join(f"{name} {a:.4f}" for name, a in accuracy.items()))

    print("choosing the magnitude on training classes")
    tuning = tune_magnitude(parts)
    magnitude = tuning["magnitude"]
    print(f"  magnitude {magnitude}")

    scores = {name: parts[name].pixels(torch.float64) for name in ("in", "near")}
    scores |= noise(len(parts["in"]))
    scores = {name: trained.scores(x, [magnitude])[0] for name, x in scores.items()}
    results = {name: compare(scores["in"], scores[name]) for name in scores if name != "in"}
    for name, result in results.items():
        base, odin = result["baseline"], result["odin"]
        print(f"  {name}: n {result['n_in']} in, {result['n_out']} out; " + ", ".join(
            f"{metric} {100 * base[metric]:.2f} -> {100 * odin[metric]:.2f}" for metric in base))

    about = {
        "architecture": f"DenseNet-BC, depth {DEPTH}, growth {GROWTH}, reduction 0.5",
        "classes": "0 1 2 3 4 5",
        "input": "1x8x8",
        "mean": repr(trained.mean),
        "std": repr(trained.std),
        "seed": str(SEED),
        "test_accuracy": repr(accuracy["in"]),
        "temperature": repr(TEMPERATURE),
        "magnitude": repr(magnitude),
    }
    parameters = write_model(folder / "model.safetensors", trained, about)
    for name in ("in", "near", "validation"):
        write_part(folder, name, parts[name])
    expected = {
        "model": {
            "architecture": about["architecture"],
            "parameters": parameters,
            "classes": trained.digits,
            "mean": trained.mean,
            "std": trained.std,
            "seed": SEED,
            "epochs": EPOCHS,
        },
        "images": {name: len(part) for name, part in parts.items()},
        "accuracy": accuracy,
        "temperature": TEMPERATURE,
        "magnitude": magnitude,
        "tuning": tuning,
        "positive_class": "in-distribution",
        "metrics": "exact",
        "noise": f"numpy default_rng({SEED}); other generators differ in the digits",
        "results": results,
        "scores": {name: listed(scores[name]) for name in ("in", "near")},
    }
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    print(f"done in {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
