"""Metrics of scores from any tool. **High scores mean in-distribution, which is the positive class.**

Other conventions are common: pytorch-ood and OpenOOD 1.5 take out-of-distribution for positive, the
former with scores that are high for it (negate them). See docs/from_pytorch_ood.md and
docs/from_openood.md for what that changes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _native
from ._numbers import threads_or_all, whole_number
from .errors import OdinValueError

__all__ = [
    "HistogramSketch",
    "Metrics",
    "evaluate",
    "precision_recall_curve",
    "read_scores",
    "roc_curve",
    "threshold_for_tpr",
]

Curve: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


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
        classes = whole_number("classes", classes, 1)
        protocol = {"score": score, "classes": classes, "temperature": float(temperature)}
    bootstrap = None
    if ci is not None:
        resamples, seed = whole_number("ci", ci, 1), whole_number("seed", seed, 0)
        bootstrap = (resamples, seed, threads_or_all(threads))
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


def roc_curve(
    in_scores: ArrayLike, out_scores: ArrayLike, *, drop_intermediate: bool = False
) -> Curve:
    """False- and true-positive rates at every threshold, as ``sklearn.metrics.roc_curve`` gives them.

    Args:
        in_scores, out_scores: Scores ``(N,)`` and ``(M,)``; in-distribution is positive.
        drop_intermediate: Whether points on the line between their neighbours are left out.

    Returns:
        ``(fpr, tpr, thresholds)`` of shape ``(K,)``; thresholds fall, the first is infinite.

    >>> from odin_ood import metrics
    >>> fpr, tpr, thresholds = metrics.roc_curve([0.9, 0.7], [0.8])
    >>> fpr.tolist(), tpr.tolist(), thresholds.tolist()
    ([0.0, 0.0, 1.0, 1.0], [0.0, 0.5, 0.5, 1.0], [inf, 0.9, 0.8, 0.7])
    """
    return _native.roc_curve(_vector(in_scores), _vector(out_scores), drop_intermediate)


def precision_recall_curve(
    in_scores: ArrayLike,
    out_scores: ArrayLike,
    *,
    positive: Literal["in", "out"] = "in",
    drop_intermediate: bool = False,
) -> Curve:
    """Precision and recall at every threshold, as scikit-learn gives them.

    Args:
        in_scores, out_scores: Scores ``(N,)`` and ``(M,)``; high means in-distribution.
        positive: The side that counts as positive; for ``"out"``, thresholds are negated scores.
        drop_intermediate: Whether points of the same recall between others are left out.

    Returns:
        ``(precision, recall, thresholds)`` of shapes ``(K + 1,)``, ``(K + 1,)`` and ``(K,)``; thresholds
        rise, and the last point is precision 1, recall 0.

    >>> from odin_ood import metrics
    >>> precision, recall, thresholds = metrics.precision_recall_curve([0.9, 0.7], [0.8])
    >>> precision.tolist(), recall.tolist()
    ([0.6666666666666666, 0.5, 1.0, 1.0], [1.0, 0.5, 0.5, 0.0])
    """
    if positive not in ("in", "out"):
        raise OdinValueError(f"positive is 'in' or 'out', not {positive!r}")
    inside, outside = _vector(in_scores), _vector(out_scores)
    return _native.precision_recall_curve(inside, outside, positive == "out", drop_intermediate)


def read_scores(path: str | os.PathLike[str], name: str | None = None) -> NDArray[np.float64]:
    """The scores in an ``.npy`` or ``.npz`` file, such as OpenOOD saves.

    Args:
        path: Of the file.
        name: Of the array; ``conf`` (OpenOOD's), or the only one of real numbers, unless given.

    Returns:
        An array ``(N,)`` of ``float64``.

    Raises:
        OdinOSError: The file cannot be read.
        OdinValueError: It holds no such array; the message lists those that are there.

    >>> from odin_ood import metrics
    >>> np.savez(tmp_path / "svhn.npz", pred=[3, 1], conf=[0.9, 0.4], label=[-1, -1])
    >>> metrics.read_scores(tmp_path / "svhn.npz").tolist()
    [0.9, 0.4]
    """
    return _native.read_scores(path, name)


class HistogramSketch:
    """A summary of scores that is merged exactly: counts in bins, where the scores are.

    Each machine makes one of its scores and sends its bytes; ``+`` merges them, in any order, to the
    bytes of one made of all scores. At precision 23 every ``float32`` has a bin of its own; of other
    scores the bins are 1.2e-7 wide, relative to the score, and :meth:`bounds` says what that leaves open.

    Args:
        in_scores, out_scores: Scores ``(N,)`` and ``(M,)``, either of which may be empty.
        precision: Bits of the significand by which bins are told apart, from 0 to 52.

    >>> from odin_ood import metrics
    >>> here = metrics.HistogramSketch([0.9, 0.8], [0.65])
    >>> there = metrics.HistogramSketch([0.7, 0.6], [0.5, 0.4])
    >>> round((here + there).metrics().auroc, 4)
    0.9167
    """

    __slots__ = ("_native",)

    def __init__(
        self, in_scores: ArrayLike = (), out_scores: ArrayLike = (), precision: int = 23
    ) -> None:
        inside, outside = _vector(in_scores), _vector(out_scores)
        self._native = _native.HistogramSketch(inside, outside, precision)

    @classmethod
    def from_bytes(cls, data: bytes) -> HistogramSketch:
        """The sketch of these bytes, which are checked."""
        return cls._of(_native.HistogramSketch.from_bytes(data))

    @classmethod
    def _of(cls, native: Any) -> HistogramSketch:
        sketch = cls.__new__(cls)
        sketch._native = native
        return sketch

    def to_bytes(self) -> bytes:
        """The sketch as bytes; equal sketches have equal bytes."""
        return self._native.to_bytes()

    def __add__(self, other: HistogramSketch) -> HistogramSketch:
        """The sketch of the scores of both."""
        return self._of(self._native.merged(other._native))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HistogramSketch) and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.to_bytes())

    def __reduce__(self) -> tuple[Any, tuple[bytes]]:
        return (HistogramSketch.from_bytes, (self.to_bytes(),))

    def __repr__(self) -> str:
        return f"<HistogramSketch of {self.n_in} + {self.n_out} scores in {self.bins} bins>"

    @property
    def n_in(self) -> int:
        """The number of in-distribution scores."""
        return self._native.n_in

    @property
    def n_out(self) -> int:
        """The number of out-of-distribution scores."""
        return self._native.n_out

    @property
    def bins(self) -> int:
        """The number of bins that have scores."""
        return self._native.bins

    def metrics(self) -> Metrics:
        """The exact metrics, with all scores of a bin taken for tied."""
        return Metrics(**self._native.metrics(), n_in=self.n_in, n_out=self.n_out)

    def bounds(self) -> dict[str, tuple[float, float]]:
        """The range of each metric, by name, for any scores in these bins."""
        return self._native.bounds()

    def threshold_for_tpr(self, tpr: float = 0.95) -> tuple[float, float]:
        """The range of :func:`threshold_for_tpr`; the lower end keeps at least ``tpr``."""
        return self._native.threshold_for_tpr(tpr)


def _vector(scores: ArrayLike) -> NDArray[np.float64]:
    try:
        array = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise OdinValueError(f"scores are numbers of shape (N,): {error}") from None
    if array.ndim != 1:
        raise OdinValueError(f"scores have the shape (N,), these have {array.shape}")
    return np.ascontiguousarray(array)
