"""ODIN as an outlier detector of scikit-learn, for pipelines, searches and whatever else takes one.

It adds scikit-learn's conventions to :meth:`odin_ood.Detector.calibrate` and nothing else. Paths, data
loaders and labels are for :class:`odin_ood.Detector`; this takes arrays.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from ._images import Layout
from .detector import Detector
from .errors import OdinValueError

__all__ = ["OdinDetector"]

Model: TypeAlias = str | os.PathLike[str] | bytes | Detector


class OdinDetector(OutlierMixin, BaseEstimator):  # type: ignore[misc, unused-ignore]
    """A trained network with ODIN built into it, as scikit-learn's outlier detectors are used.

    The network is trained already: :meth:`fit` chooses the threshold that keeps the share ``tpr`` of
    in-distribution images, which should be others than those of the training.

    Args:
        model: The path of a model file, its content, or an :class:`odin_ood.Detector`, whose options and
            fitted scores are kept; or a function of the number of features that gives one of these.
        temperature: T; that of the detector, or 1000, unless given.
        magnitude: ε on the [0, 1] pixel scale; that of the detector, or 0.0014, unless given.
        score_name: The score that decides, such as ``"odin"``. (scikit-learn takes an attribute ``score``
            for a method.)
        tpr: The share of in-distribution images to keep.
        layout: ``"NCHW"`` or ``"NHWC"``, where the shape of images does not tell.
        threads: Those of the detector, or all that this process may use, unless given.

    Attributes:
        detector_: The :class:`odin_ood.CalibratedDetector`, which can be saved.
        offset_: The threshold, which :meth:`decision_function` subtracts.
        n_features_in_: The length of vectors, or the number of values of an image as the network sees it.

    >>> from odin_ood.sklearn import OdinDetector
    >>> outliers = OdinDetector(DEMO / "model.safetensors", threads=2).fit(known)
    >>> sorted(set(outliers.predict(near).tolist()))
    [-1, 1]
    >>> outliers.offset_ == outliers.detector_.threshold
    True
    """

    def __init__(
        self,
        model: Model | Callable[[int], Model] | None = None,
        *,
        temperature: float | None = None,
        magnitude: float | None = None,
        score_name: str = "odin",
        tpr: float = 0.95,
        layout: Layout | None = None,
        threads: int | None = None,
    ) -> None:
        self.model = model
        self.temperature = temperature
        self.magnitude = magnitude
        self.score_name = score_name
        self.tpr = tpr
        self.layout: Layout | None = layout
        self.threads = threads

    def fit(self, X: Any, y: Any = None) -> OdinDetector:
        """Chooses the threshold.

        Args:
            X: In-distribution images ``(N, H, W, C)``, ``(N, C, H, W)`` or ``(N, H, W)``, or vectors
                ``(N, F)`` where the network takes those.
            y: Ignored.
        """
        X = self._checked(X, reset=True)
        detector = self._detector(int(np.prod(X.shape[1:])))
        self.detector_ = detector.calibrate(X, self.tpr, score=self.score_name, layout=self.layout)
        self.offset_ = self.detector_.threshold
        if X.ndim > 2:
            self.n_features_in_ = int(np.prod(detector.image_shape))
        return self

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """The score of each image, ``(N,)``; high means in-distribution."""
        check_is_fitted(self)
        X = self._checked(X, reset=False)
        scores: NDArray[np.float64] = self.detector_.score(X, layout=self.layout)[self.score_name]
        return scores

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """How far the score of each image is above the threshold, ``(N,)``; negative for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> NDArray[np.int64]:
        """+1 for each in-distribution image and -1 for each other, ``(N,)``."""
        return np.where(self.decision_function(X) >= 0, 1, -1).astype(np.int64)

    def _checked(self, X: Any, *, reset: bool) -> NDArray[Any]:
        """Images as they are; vectors as scikit-learn has them."""
        if getattr(X, "ndim", 2) > 2:
            as_they_are: Any = None
            images: NDArray[Any] = check_array(X, dtype=as_they_are, allow_nd=True)
            return images
        vectors: Any = validate_data(self, X, reset=reset, dtype=(np.float64, np.float32))
        return np.asarray(vectors)

    def _detector(self, features: int) -> Detector:
        model = self.model
        if callable(model):
            model = model(features)
        if model is None:
            raise OdinValueError("there is no model; give its path, its bytes or a Detector")
        setting = {"temperature": self.temperature, "magnitude": self.magnitude}
        given: dict[str, Any] = {name: value for name, value in setting.items() if value is not None}
        if not isinstance(model, Detector):
            return Detector.from_onnx(model, threads=self.threads, **given)
        if self.threads not in (None, model.threads):
            raise OdinValueError("a Detector has its threads already; give threads to it")
        return model.with_setting(**given) if given else model
