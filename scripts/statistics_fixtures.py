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


def samples():
    """Pairs of samples, some with ties, as multiples of 1/64, which floats hold exactly."""
    random = np.random.default_rng(7)
    grid = lambda values: (np.round(values * 64) / 64).tolist()
    normal = lambda n, mean, scale=1.0: grid(random.normal(mean, scale, n))
    return [
        ([1.0], [2.0]),
        ([1.0, 2.0], [1.0, 2.0]),
        ([1.0, 3.0, 5.0], [2.0, 4.0]),
        ([1.0] * 5, [1.0] * 3 + [2.0] * 4),
        (normal(7, 0), normal(7, 2)),
        (normal(12, 0), normal(35, 0.3)),
        (normal(40, 0), normal(40, 6)),
        (normal(60, 0), normal(25, 0, 3.0)),
        (normal(100, 0), normal(101, 0.4)),
        (normal(150, 0), normal(250, 0)),
    ]


def kolmogorov_smirnov(before, after):
    result = stats.ks_2samp(before, after, method="exact")
    return {
        "before": before,
        "after": after,
        "statistic": result.statistic,
        "p_value": result.pvalue,
    }


def fisher(a, m, b, n):
    """By recurrence from the likeliest table. SciPy's value has only 9 digits at a million."""
    counts = a + b
    least, most = max(0, counts - n), min(counts, m)
    ratio = lambda k: (m - k) * (counts - k) / ((k + 1) * (n - counts + k + 1))
    likeliest = (counts + 1) * (m + 1) // (m + n + 2)
    weights = {likeliest: 1.0}
    for k in range(likeliest, most):
        weights[k + 1] = weights[k] * ratio(k)
    for k in range(likeliest, least, -1):
        weights[k - 1] = weights[k] / ratio(k - 1)
    tails = [w for w in weights.values() if w <= weights[a] * (1 + 1e-9)]
    p_value = math.fsum(tails) / math.fsum(weights.values())
    assert math.isclose(p_value, stats.fisher_exact([[a, m - a], [b, n - b]]).pvalue, rel_tol=1e-8)
    return p_value


def rates(before, after):
    """Counts and totals. Newcombe's interval is made of SciPy's Wilson intervals."""
    (a, m), (b, n) = before, after
    wilson = lambda k, n: stats.binomtest(k, n).proportion_ci(method="wilson")
    earlier, later = wilson(a, m), wilson(b, n)
    p, q = a / m, b / n
    return {
        "before": before,
        "after": after,
        "interval_before": [earlier.low, earlier.high],
        "interval_after": [later.low, later.high],
        "interval": [
            q - p - math.sqrt((q - later.low) ** 2 + (earlier.high - p) ** 2),
            q - p + math.sqrt((later.high - q) ** 2 + (p - earlier.low) ** 2),
        ],
        "p_value": fisher(a, m, b, n),
    }


def write(name, cases):
    ROOT.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(case, allow_nan=False) for case in cases)
    (ROOT / name).write_text(f"[\n{lines}\n]\n")


def main():
    sizes = [1, 2, 5, 19, 20, 71, 72, 73, 100, 367, 368, 999, 1000, 9000, 65537, 1000000]
    targets = [0.5, 0.9, 0.95, 0.99, 0.999]
    write("calibration.json", [calibration(n, tpr) for n in sizes for tpr in targets])
    write("minimum_images.json", [minimum(t) for t in [0.05, 0.3, *targets]])
    write("kolmogorov_smirnov.json", [kolmogorov_smirnov(*pair) for pair in samples()])
    tables = [
        ((0, 1), (0, 1)),
        ((0, 1), (1, 1)),
        ((0, 10), (0, 20)),
        ((10, 10), (20, 20)),
        ((3, 4), (1, 4)),
        ((1, 9), (10, 11)),
        ((0, 7), (9, 12)),
        ((56, 70), (48, 80)),
        ((50, 1000), (50, 1000)),
        ((50, 1000), (81, 1000)),
        ((450, 9000), (1, 150)),
        ((450, 9000), (5300, 100000)),
        ((50000, 1000000), (50500, 1000000)),
        ((50000, 1000000), (52000, 1000000)),
        ((3, 1000000), (12, 1000000)),
    ]
    write("rates.json", [rates(*pair) for pair in tables])


main()
