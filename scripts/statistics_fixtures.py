"""Writes the expected values of crates/odin-metrics/tests/data.

    python scripts/statistics_fixtures.py

Needs numpy and SciPy (made with numpy 2.4 and SciPy 1.17).
"""

import json
import math
from pathlib import Path

import numpy as np
from scipy import stats

ROOT = Path(__file__).resolve().parent.parent / "crates/odin-metrics/tests/data"


def calibration(n, tpr):
    """Of the scores 1, 2, ..., n, so that a score is its rank."""
    # The number of images below the true threshold is binomial.
    rejected = stats.binom(n, 1 - tpr)
    lower, upper = int(rejected.ppf(0.025)), int(rejected.ppf(0.975)) + 1
    kept = next(k for k in range(1, n + 1) if k / n >= tpr)
    interval = stats.beta(kept, n - kept + 1).ppf([0.025, 0.975])
    return {
        "images": n,
        "tpr": tpr,
        "threshold": n - kept + 1,
        "threshold_lower": lower if lower >= 1 else None,
        "threshold_upper": upper if upper <= n else None,
        "tpr_lower": interval[0],
        "tpr_upper": interval[1],
    }


def minimum(tpr):
    """The smallest n whose extreme scores bound the threshold, by search."""
    n = 1
    while max(stats.binom(n, 1 - tpr).pmf([0, n])) > 0.025:
        n += 1
    return {"tpr": tpr, "images": n}


def write(name, cases):
    ROOT.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(case, allow_nan=False) for case in cases)
    (ROOT / name).write_text(f"[\n{lines}\n]\n")


def main():
    sizes = [1, 2, 5, 19, 20, 71, 72, 73, 100, 367, 368, 999, 1000, 9000, 65537, 1000000]
    targets = [0.5, 0.9, 0.95, 0.99, 0.999]
    write("calibration.json", [calibration(n, tpr) for n in sizes for tpr in targets])
    write("minimum_images.json", [minimum(t) for t in [0.05, 0.3, *targets]])


main()
