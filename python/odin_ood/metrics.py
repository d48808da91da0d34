"""Metrics of scores from any tool. **High scores mean in-distribution, which is the positive class.**

Other conventions are common: scikit-learn has no convention, pytorch-ood takes out-of-distribution for
positive and high for it, OpenOOD takes in-distribution for positive in AUROC and FPR95 and reports
both AUPR. Negate scores that are high for out-of-distribution images.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _native
from .errors import OdinValueError

__all__ = ["Metrics", "evaluate", "threshold_for_tpr"]


@dataclass(frozen=True)
class Metrics:
    """The five metrics of the field, fractions of 1. Positive: in-distribution."""

    fpr_at_95_tpr: float
    """The smallest false-positive rate of a threshold that keeps 95 % of in-distribution images."""
    detection_error: float
    """The smallest of ``(1 - TPR + FPR) / 2`` over all thresholds."""
    auroc: float
    """The probability that an in-distribution image scores above another; ties count one half."""
    aupr_in: float
    """Average precision, in-distribution positive."""
    aupr_out: float
    """Average precision, out-of-distribution positive."""
    n_in: int
    n_out: int
    mode: Literal["exact", "paper"] = "exact"
    ci95: dict[str, tuple[float, float]] | None = None
    """95 % bootstrap intervals by metric, where asked for."""
    exact_instead: tuple[str, ...] = field(default=())
    """The metrics that the paper's thresholds do not define for these scores; they are exact."""
    outside_grid: int = 0
    """How many scores lie outside of the paper's thresholds."""

    def to_dict(self) -> dict[str, float]:
        """The five metrics by name."""
        names = ("fpr_at_95_tpr", "detection_error", "auroc", "aupr_in", "aupr_out")
        return {name: getattr(self, name) for name in names}


def evaluate(
    in_scores: ArrayLike,
    out_scores: ArrayLike,
    mode: Literal["exact", "paper"] = "exact",
    ci: int | None = None,
    *,
    score: Literal["msp", "odin", "other"] = "odin",
    classes: int = 10,
    temperature: float = 1000.0,
    seed: int = 0,
    threads: int | None = None,
) -> Metrics:
    """How well scores tell in-distribution images from others.

    Args:
        in_scores: Scores of in-distribution images, shape ``(N,)``; high means in-distribution.
        out_scores: Scores of out-of-distribution images, shape ``(M,)``.
        mode: ``"exact"``, or ``"paper"`` for the thresholds of the authors of ODIN: 100,000 steps
            of a fixed grid, chosen by ``score``, ``classes`` and ``temperature``.
        ci: The number of bootstrap resamples for 95 % intervals, such as 1000; none unless given.
        seed: Of the resamples.
        threads: For the resamples; all that this process may use unless given.

    Raises:
        OdinValueError: A side is empty, or a score is NaN or infinite.

    >>> from odin_ood import metrics
    >>> measured = metrics.evaluate([0.9, 0.8, 0.7, 0.6], [0.65, 0.5, 0.4])
    >>> round(measured.auroc, 4), measured.fpr_at_95_tpr
    (0.9167, 0.3333333333333333)
    """
    if mode not in ("exact", "paper"):
        raise OdinValueError(f"there is no mode {mode!r}; it is 'exact' or 'paper'")
    protocol: dict[str, Any] | None = None
    if mode == "paper":
        protocol = {"score": score, "classes": classes, "temperature": float(temperature)}
    bootstrap = None if ci is None else (ci, seed, threads or _native.available_threads())
    inside, outside = _vector(in_scores), _vector(out_scores)
    told = _native.evaluate(inside, outside, protocol, bootstrap)
    return Metrics(
        **told["metrics"],
        n_in=len(inside),
        n_out=len(outside),
        mode=mode,
        ci95=told["ci95"],
        exact_instead=tuple(told["exact_instead"]),
        outside_grid=told["outside_grid"],
    )


def threshold_for_tpr(in_scores: ArrayLike, tpr: float = 0.95) -> float:
    """The largest threshold that keeps at least the share ``tpr`` of in-distribution scores.

    Args:
        in_scores: Scores of in-distribution images, shape ``(N,)``.
        tpr: Above 0, at most 1.

    Raises:
        OdinValueError: There is no score, one is NaN or infinite, or ``tpr`` is out of its range.

    >>> from odin_ood import metrics
    >>> metrics.threshold_for_tpr([0.1, 0.2, 0.3, 0.4], tpr=0.75)
    0.2
    """
    return _native.threshold_for_tpr(_vector(in_scores), tpr)


def _vector(scores: ArrayLike) -> NDArray[np.float64]:
    array = np.ascontiguousarray(scores, dtype=np.float64)
    if array.ndim != 1:
        raise OdinValueError(f"scores have the shape (N,), these have {array.shape}")
    return array
