"""The metrics against scikit-learn and against the program of ODIN's authors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support import needed

from odin_ood import OdinValueError, metrics

random = np.random.default_rng(3)
NAMES = ("fpr_at_95_tpr", "detection_error", "auroc", "aupr_in", "aupr_out")
SIDES = {
    "apart": ([0.9, 0.8, 0.7], [0.3, 0.2]),
    "the wrong way round": ([0.1, 0.2], [0.8, 0.9, 0.95]),
    "all tied": ([1.0] * 4, [1.0] * 3),
    "ties": (random.integers(0, 6, 200) / 5, random.integers(0, 5, 150) / 5),
    "negative": (-random.random(99), -random.random(50) - 0.3),
    "one each": ([0.4], [0.3]),
    "one each, tied": ([0.4], [0.4]),
    "one in": ([0.4], random.random(30)),
    "normal": (random.normal(1, 1, 500), random.normal(0, 1, 900)),
    "far apart in magnitude": (random.normal(1, 1, 50) * 1e300, random.normal(0, 1, 50) * 1e-300),
    "zeros of both signs": ([0.0, -0.0, 1.0], [-0.0, 0.0]),
    "float32": (random.random(60, dtype=np.float32), random.random(70, dtype=np.float32)),
    "whole numbers": ([3, 4, 5], [1, 2, 3]),
}


def by_scikit_learn(inside, outside) -> dict[str, float]:
    from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

    scores = np.concatenate([inside, outside]).astype(np.float64)
    is_in = np.repeat([1, 0], [len(inside), len(outside)])
    fpr, tpr, _ = roc_curve(is_in, scores, drop_intermediate=False)
    return {
        "fpr_at_95_tpr": fpr[tpr >= 0.95].min(),
        "detection_error": ((1 - tpr + fpr) / 2).min(),
        "auroc": roc_auc_score(is_in, scores),
        "aupr_in": average_precision_score(is_in, scores),
        "aupr_out": average_precision_score(1 - is_in, -scores),
    }


@pytest.mark.parametrize("case", SIDES)
def test_exact_metrics_are_scikit_learns(case: str) -> None:
    needed("sklearn")
    inside, outside = SIDES[case]
    measured = metrics.evaluate(inside, outside)
    assert (measured.n_in, measured.n_out, measured.mode) == (len(inside), len(outside), "exact")
    assert measured.to_dict() == pytest.approx(by_scikit_learn(inside, outside), rel=0, abs=1e-12)


def test_reference_cases(refdata: Path) -> None:
    """Those of the original program are null where it divides by zero; here they are exact then."""
    cases = sorted((refdata / "metric_cases").iterdir())
    assert cases
    for case in cases:
        expected = json.loads((case / "expected.json").read_text())
        sides = [np.genfromtxt(case / f"{side}.csv", delimiter=",", names=True) for side in ("in", "out")]
        for name, score, column in (("baseline", "msp", "msp"), ("odin", "odin", "odin")):
            inside, outside = (side[column] for side in sides)
            exact = metrics.evaluate(inside, outside)
            assert exact.to_dict() == pytest.approx(expected["exact"][name], rel=0, abs=1e-12), case
            options = {"classes": expected["classes"], "temperature": expected["temperature"]}
            paper = metrics.evaluate(inside, outside, mode="paper", score=score, **options)
            missing = {metric for metric, value in expected["paper"][name].items() if value is None}
            assert set(paper.exact_instead) == missing, (case, name)
            for metric, value in expected["paper"][name].items():
                wanted = exact.to_dict()[metric] if value is None else value
                assert paper.to_dict()[metric] == pytest.approx(wanted, rel=0, abs=1e-9), (case, metric)


@pytest.mark.parametrize("mode", ["exact", "paper"])
def test_intervals(mode) -> None:
    inside, outside = 0.1 + random.normal(1, 1, 300) / 1e3, 0.1 + random.normal(0, 1, 300) / 1e3
    one = metrics.evaluate(inside, outside, mode, ci=200, seed=1, threads=1)
    assert one == metrics.evaluate(inside, outside, mode, ci=200, seed=1, threads=2)
    assert one != metrics.evaluate(inside, outside, mode, ci=200, seed=2)
    assert metrics.evaluate(inside, outside, mode).ci95 is None
    assert tuple(one.ci95) == NAMES
    for name, (lower, upper) in one.ci95.items():
        assert 0 <= lower <= one.to_dict()[name] <= upper <= 1, name


def test_scores_outside_of_the_papers_thresholds_are_counted() -> None:
    measured = metrics.evaluate([0.9, 0.8], [0.1, -5.0], mode="paper", score="odin")
    assert measured.outside_grid > 0


@pytest.mark.parametrize("tpr", [0.01, 0.5, 0.95, 0.999, 1.0])
def test_thresholds(tpr: float) -> None:
    scores = random.normal(size=333).round(2)
    threshold = metrics.threshold_for_tpr(scores, tpr)
    larger = scores[scores > threshold]
    assert (scores >= threshold).mean() >= tpr
    assert len(larger) == 0 or (scores >= larger.min()).mean() < tpr


FAULTS = {
    "nothing in": lambda: metrics.evaluate([], [1.0]),
    "nothing out": lambda: metrics.evaluate([1.0], []),
    "NaN": lambda: metrics.evaluate([np.nan], [1.0]),
    "infinite": lambda: metrics.evaluate([1.0], [np.inf]),
    "two axes": lambda: metrics.evaluate([[1.0]], [1.0]),
    "ragged": lambda: metrics.evaluate([[1.0], [1.0, 2.0]], [1.0]),
    "a number": lambda: metrics.evaluate(1.0, [1.0]),
    "text": lambda: metrics.evaluate(["a"], [1.0]),
    "None": lambda: metrics.evaluate(None, [1.0]),
    "complex": lambda: metrics.evaluate([1j], [1.0]),
    "mode": lambda: metrics.evaluate([1.0], [1.0], mode="other"),
    "score": lambda: metrics.evaluate([1.0], [1.0], mode="paper", score="knn"),
    "classes": lambda: metrics.evaluate([1.0], [1.0], mode="paper", classes=-1),
    "no resamples": lambda: metrics.evaluate([1.0], [1.0], ci=0),
    "fewer than none": lambda: metrics.evaluate([1.0], [1.0], ci=-1),
    "the seed": lambda: metrics.evaluate([1.0], [1.0], ci=10, seed=-1),
    "threads": lambda: metrics.evaluate([1.0], [1.0], ci=10, threads=-1),
    "no score": lambda: metrics.threshold_for_tpr([]),
    "NaN in calibration": lambda: metrics.threshold_for_tpr([np.nan]),
    "a share of 0": lambda: metrics.threshold_for_tpr([1.0], 0.0),
    "a share of 1.1": lambda: metrics.threshold_for_tpr([1.0], 1.1),
    "a share of NaN": lambda: metrics.threshold_for_tpr([1.0], np.nan),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.filterwarnings("error")
def test_faults(fault: str) -> None:
    with pytest.raises(OdinValueError):
        FAULTS[fault]()
