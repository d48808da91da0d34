"""A program as users write it, for type checkers: `test_types.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import odin_ood
from odin_ood import metrics


def scores_of(detector: odin_ood.Detector, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    scores: odin_ood.Scores = detector.score(images, errors="keep", layout="NCHW")
    names: list[str] = scores.file
    reasons: list[str | None] = scores.errors
    assert len(names) == len(reasons)
    return scores.max_logit if "max-logit" in scores.names else scores.odin


def report(done: int, total: int) -> None:
    print(f"{done} of {total}")


def main(model: Path, inside: NDArray[np.float32], outside: NDArray[np.float32]) -> str:
    detector = odin_ood.Detector.from_onnx(model, temperature=1000, size=(32, 32), channels="rgb")
    tuned = detector.tune(inside, magnitudes=[0.0, 0.001], rule="mean-score")
    fitted: odin_ood.Detector = tuned.fit(inside, labels=[0, 1, 2], scores=["knn"], knn_k=5)
    calibrated: odin_ood.CalibratedDetector = fitted.calibrate(inside, tpr=0.9, score="knn", progress=report)
    verdicts: odin_ood.Verdicts = calibrated.judge(outside, progress=True)
    rejected: NDArray[np.bool_] = ~verdicts.is_in_distribution
    sides: NDArray[np.int64] = calibrated.predict(outside)
    assert int(rejected.sum()) == int((sides == -1).sum())
    measured = metrics.evaluate(verdicts.odin, [0.1, 0.2], mode="exact", ci=100)
    interval: tuple[float, float] = (measured.ci95 or {})["auroc"]
    calibrated.save(model.with_suffix(".toml"))
    try:
        again = odin_ood.load(model.with_suffix(".toml"), threads=2)
    except odin_ood.OdinOSError as error:
        return error.strerror or str(error)
    return f"{again.threshold} {interval} {again.class_names or again.classes}"
