"""Writes curves.json of odin-metrics: curves and areas as scikit-learn computes them.

    python scripts/curve_fixtures.py

Needs numpy and scikit-learn (made with numpy 2.4 and scikit-learn 1.9).
"""

import json
from pathlib import Path

import numpy as np
from sklearn import metrics


def cases():
    """Pairs of sides, in-distribution first; floats of 32 bits make ties near 1."""
    random = np.random.default_rng(11)
    msp = lambda n, shape: (1 - random.gamma(shape, 1e-7, n)).astype(np.float32)
    odin = lambda n, a: np.round(0.1 + 1e-3 * random.beta(a, 4, n), 5)
    yield "one each", [2.0], [1.0]
    yield "all tied", [0.1] * 3, [0.1]
    yield "apart", [4.0, 5.0, 6.0, 7.0], [3.0, 2.0, 1.0]
    yield "reversed", [1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0]
    yield "zeros of either sign", [0.0, 1.0, -0.0], [-0.0, 0.0, -1.0]
    yield "no ties", random.normal(1, 1, 40), random.normal(0, 1, 25)
    yield "steps of one size", [1.0, 1.0, 2.0, 2.0, 3.0, 3.0], [1.0, 2.0, 3.0, 4.0]
    yield "softmax near 1", msp(60, 2), msp(50, 4)
    yield "ODIN within a thousandth", odin(80, 3), odin(70, 2)
    yield "subnormal and huge", [5e-324, 1e308, -1e-310], [-1e308, 5e-324, 0.0]


def roc(labels, scores, drop):
    fpr, tpr, thresholds = metrics.roc_curve(labels, scores, drop_intermediate=drop)
    # The first threshold is infinite, which JSON has no number for.
    return {"fpr": fpr.tolist(), "tpr": tpr.tolist(), "thresholds": thresholds[1:].tolist()}


def precision_recall(labels, scores, drop):
    precision, recall, thresholds = metrics.precision_recall_curve(
        labels, scores, drop_intermediate=drop
    )
    return {
        "precision": precision.tolist(),
        "recall": recall.tolist(),
        "thresholds": thresholds.tolist(),
    }


def expected(name, in_scores, out_scores):
    in_scores, out_scores = (np.asarray(s, dtype=np.float64) for s in (in_scores, out_scores))
    scores = np.concatenate([in_scores, out_scores])
    is_in = np.arange(len(scores)) < len(in_scores)
    both = lambda curve, *arguments: [curve(*arguments, drop) for drop in (False, True)]
    return {
        "name": name,
        "in_scores": in_scores.tolist(),
        "out_scores": out_scores.tolist(),
        "auroc": metrics.roc_auc_score(is_in, scores),
        "aupr_in": metrics.average_precision_score(is_in, scores),
        "aupr_out": metrics.average_precision_score(~is_in, -scores),
        "roc": both(roc, is_in, scores),
        "precision_recall_in": both(precision_recall, is_in, scores),
        "precision_recall_out": both(precision_recall, ~is_in, -scores),
    }


if __name__ == "__main__":
    lines = ",\n".join(json.dumps(expected(*case)) for case in cases())
    data = Path(__file__).parents[1] / "crates/odin-metrics/tests/data"
    (data / "curves.json").write_text(f"[\n{lines}\n]\n")
