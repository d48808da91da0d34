"""From OpenOOD to odin_ood: image lists, saved scores, and why metrics differ where they do.

    pip install odin-ood pillow
    python python/examples/from_openood.py

Runs in a few seconds on a CPU, and needs neither PyTorch nor OpenOOD: what OpenOOD computes is written
anew here from the definitions of its two versions. The cells are those of an editor that understands
`# %%`; docs/from_openood.md tells the same as a page.
"""

# %% Images and a list of them as OpenOOD has it: a path and a label on each line, -1 for an outlier
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import odin_ood

DEMO = Path(__file__).resolve().parents[2] / "demo"
ROOT = Path(tempfile.mkdtemp())


def write_list(name: str, pixels: np.ndarray, labels: np.ndarray) -> Path:
    """The images (N, 1, 8, 8) as PNG files, and the list that names them."""
    (ROOT / name).mkdir()
    lines = []
    for i, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        Image.fromarray(image[0]).save(ROOT / name / f"{i:04}.png")
        lines.append(f"{name}/{i:04}.png {label}")
    path = ROOT / f"test_{name}.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


known, unknown = np.load(DEMO / "in.npy"), np.load(DEMO / "near.npy")
in_list = write_list("digits", known, np.load(DEMO / "in_labels.npy"))
out_list = write_list("others", unknown, np.full(len(unknown), -1))


# %% Read a list and score its images; high means in-distribution, as OpenOOD's `conf`
def read_list(path: Path) -> tuple[list[Path], np.ndarray]:
    """Paths and labels (N,) of an image list."""
    pairs = [line.split(" ", 1) for line in path.read_text().splitlines() if line]
    return [ROOT / file for file, _ in pairs], np.array([int(label) for _, label in pairs])


detector = odin_ood.Detector.from_checkpoint(DEMO / "model.safetensors", threads=2)
in_files, in_labels = read_list(in_list)
out_files, out_labels = read_list(out_list)
in_scores, out_scores = detector.score(in_files), detector.score(out_files)
accuracy = np.mean(in_scores.prediction == in_labels)
print(f"{len(in_scores)} and {len(out_scores)} images, {accuracy:.1%} right")

# %% Scores as OpenOOD saves them: `pred`, `conf` and `label` in an .npz for each set
for name, scores, labels in [("digits", in_scores, in_labels), ("others", out_scores, out_labels)]:
    np.savez(ROOT / f"{name}.npz", pred=scores.prediction, conf=scores.odin, label=labels)
inside, outside = (np.load(ROOT / f"{name}.npz")["conf"] for name in ("digits", "others"))


# %% What the two versions of OpenOOD report for these scores
def trapezoids(positive: np.ndarray, negative: np.ndarray) -> float:
    """The area under precision over recall, points joined by lines; high scores are positive."""
    thresholds = np.unique(np.concatenate([positive, negative]))[::-1]
    true = np.array([(positive >= t).sum() for t in thresholds])
    false = np.array([(negative >= t).sum() for t in thresholds])
    recall = np.concatenate([[0], true / len(positive)])
    precision = np.concatenate([[1], true / (true + false)])
    return float(((recall[1:] - recall[:-1]) * (precision[1:] + precision[:-1]) / 2).sum())


def fpr95_version_1(inside: np.ndarray, outside: np.ndarray) -> float:
    """In-distribution is positive; 95 % of them, rounded down, reach the threshold, and an outlier that
    equals it does not pass."""
    kept = np.sort(inside)[::-1][: int(0.95 * len(inside))]
    return float((outside > kept[-1]).mean())


ours = odin_ood.metrics.evaluate(inside, outside)
# Out-of-distribution is positive in version 1.5: negated and exchanged.
exchanged = odin_ood.metrics.evaluate(-outside, -inside)
print(f"\n{'':10} {'odin_ood':>10} {'1.5':>10} {'1.0':>10}")
for name, values in {
    "FPR@95": (ours.fpr_at_95_tpr, exchanged.fpr_at_95_tpr, fpr95_version_1(inside, outside)),
    "AUROC": (ours.auroc, exchanged.auroc, ours.auroc),
    "AUPR_IN": (ours.aupr_in, *[trapezoids(inside, outside)] * 2),
    "AUPR_OUT": (ours.aupr_out, *[trapezoids(-outside, -inside)] * 2),
}.items():
    print(f"{name:10} " + " ".join(f"{value:10.4%}" for value in values))

# %% What OpenOOD leaves to you: an interval, a threshold, and a file for any runtime
with_interval = odin_ood.metrics.evaluate(inside, outside, ci=1000)
low, high = (with_interval.ci95 or {})["fpr_at_95_tpr"]
print(f"\nFPR95 {with_interval.fpr_at_95_tpr:.1%}, 95 % interval {low:.1%} to {high:.1%}")
calibrated = detector.calibrate(np.load(DEMO / "validation.npy"), tpr=0.95)
print(f"{calibrated}: {calibrated.is_in_distribution(out_files).mean():.1%} of the others pass")
