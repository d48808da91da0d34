"""Calibrated detectors, which decide whether images are in-distribution."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import _native
from ._base import Base, Errors, Labels, Path
from ._images import ImagesLike, Layout
from ._progress import Progress
from ._recipes import CalibratedRecipe, engine_of, of_precision
from .errors import OdinValueError
from .scores import Scores, Verdicts

__all__ = ["CalibratedDetector", "load"]

# Within the class below, `_native` is its method.
_Calibrated: TypeAlias = _native.CalibratedDetector
_Classifier: TypeAlias = _native.Classifier


class CalibratedDetector(Base[CalibratedRecipe, _native.CalibratedDetector]):
    """A detector with thresholds, which decides whether images are in-distribution.

    Made by :meth:`Detector.calibrate` or :func:`odin_ood.load`. It can be pickled, and used by several
    threads and in processes that were forked.

    >>> calibrated.predict(near[:3]).dtype
    dtype('int64')
    """

    def __init__(self) -> None:
        raise TypeError("use Detector.calibrate or odin_ood.load")

    @classmethod
    def _of(cls, recipe: CalibratedRecipe, native: _Calibrated | None = None, /) -> CalibratedDetector:
        self = object.__new__(cls)
        self._recipe = recipe
        self._reset(native, None)
        if native is not None:
            self._keep(native)
        return self

    def _keep(self, native: _Calibrated) -> None:
        """Keeps what another process needs to make it anew."""
        toml, statistics = native.to_saved()
        self._recipe = replace(
            self._recipe, toml=toml, statistics=statistics, checksum=native.checksum
        )

    def _saved(self) -> CalibratedRecipe:
        if self._recipe.toml is None:
            self._keep(self._native())
        return self._recipe

    def _opened(self) -> _Calibrated:
        recipe = self._recipe
        if recipe.toml is not None:
            return _Calibrated.restore(recipe.toml, recipe.statistics, recipe.engine, recipe.model)
        if recipe.path is None:
            raise OdinValueError("the detector has neither a path nor a record")
        return _Calibrated.open(recipe.path, recipe.engine, recipe.model)

    def _opened_classifier(self) -> _Classifier:
        return self._native().classifier

    @property
    def temperature(self) -> float:
        """T."""
        return self._native().temperature

    @property
    def magnitude(self) -> float:
        """ε on the [0, 1] pixel scale."""
        return self._native().magnitude

    @property
    def precision(self) -> str:
        """The precision that it was calibrated in, and judges in: ``"exact"`` or ``"fast"``."""
        return self._native().precision

    @property
    def instructions(self) -> str | None:
        """What the network's products are computed with here, such as ``"AVX-512"``; None where ONNX
        Runtime runs it."""
        return self._native().instructions

    @property
    def deciding_score(self) -> str:
        """The name of the score that decides."""
        return self._native().thresholds[0][0]

    @property
    def thresholds(self) -> dict[str, float]:
        """The threshold of each calibrated score."""
        return dict(self._native().thresholds)

    @property
    def threshold(self) -> float:
        """That of the score that decides; an image whose score reaches it is in-distribution."""
        return self._native().thresholds[0][1]

    @property
    def checksum(self) -> str:
        """Two detectors of one checksum judge alike."""
        return self._native().checksum

    def judge(
        self,
        images: ImagesLike,
        *,
        labels: Labels = None,
        layout: Layout | None = None,
        errors: Errors = "raise",
        progress: Progress = None,
    ) -> Verdicts:
        """Scores images and decides; arguments and exceptions are those of :meth:`Detector.score`.

        >>> calibrated.judge(near[:4]).percentile.shape
        (4,)
        """
        return self._columns(
            Verdicts, self._native().judge, images, labels, layout, errors, progress
        )

    def score(self, images: ImagesLike, **options: Any) -> Scores:
        """The scores alone; as :meth:`judge`.

        >>> calibrated.score(near[:4]).odin.shape
        (4,)
        """
        verdicts = self.judge(images, **options)
        decision = ("percentile", "p_value", "threshold", "is_in_distribution")
        return Scores({name: verdicts[name] for name in verdicts if name not in decision})

    def predict(self, images: ImagesLike, **options: Any) -> NDArray[np.int64]:
        """+1 for in-distribution images and -1 for others, ``(N,)``, as scikit-learn's outlier detectors.

        >>> set(calibrated.predict(near[:50])) <= {1, -1}
        True
        """
        return np.where(self.is_in_distribution(images, **options), 1, -1).astype(np.int64)

    def is_in_distribution(self, images: ImagesLike, **options: Any) -> NDArray[np.bool_]:
        """Whether each image's score reaches its threshold, ``(N,)``.

        >>> calibrated.is_in_distribution(near[:4]).dtype
        dtype('bool')
        """
        return self.judge(images, **options).is_in_distribution

    def gradient(self, images: ImagesLike, *, layout: Layout | None = None) -> NDArray[np.float32]:
        """As :meth:`Detector.gradient`.

        >>> calibrated.gradient(near[:1]).shape
        (1, 1, 8, 8)
        """
        return self._gradient(images, layout)

    def save(self, path: Path) -> None:
        """Writes ``detector.toml``, what was fitted, and the model where it is in memory only.

        The file opens in the command line, the library and the service, too. It appears whole or not
        at all.

        >>> calibrated.save(tmp_path / "detector.toml")
        >>> odin_ood.load(tmp_path / "detector.toml").threshold == calibrated.threshold
        True
        """
        model = self._recipe.model
        self._native().save(path, model[1] if isinstance(model, tuple) else None)

    def compile(self, path: Path, *, p_values: bool = False) -> None:
        """Writes network, scores and thresholds as one ONNX file for any runtime.

        The file has all scores of the detector, with what was fitted for them, and a gradient only
        where one of them needs it.

        Args:
            path: Of the file.
            p_values: Adds the outputs ``percentile`` and ``p_value`` of the score that decides.

        >>> calibrated.compile(tmp_path / "detector.onnx")
        >>> (tmp_path / "detector.onnx").stat().st_size > 100_000
        True

        Raises:
            OdinValueError: A score has no form in ONNX.
        """
        self._native().compile(path, p_values)

    def __repr__(self) -> str:
        name, threshold = self._native().thresholds[0]
        setting = f"T = {self.temperature:g}, ε = {self.magnitude:g}{of_precision(self.precision)}"
        return f"<CalibratedDetector by {name} >= {threshold:.6g}, {setting}>"


def load(
    path: Path,
    *,
    model: Path | None = None,
    threads: int | None = None,
    batch_size: int = 32,
    device: str = "cpu",
) -> CalibratedDetector:
    """Opens a ``detector.toml``, the model that it names, and what was fitted.

    Args:
        path: Of the ``detector.toml``.
        model: The present path of the model; that in the detector unless given.
        threads: All that this process may use unless given. Scores do not depend on it.
        batch_size: How many images are scored together. Scores do not depend on it.
        device: As of :meth:`Detector.from_onnx`.

    Raises:
        OdinOSError: A file is not there, or cannot be read.
        OdinValueError: A file was changed, or the model is another one.

    >>> odin_ood.load(DEMO / "detector.toml", threads=2).deciding_score
    'odin'
    """
    where = None if model is None else os.path.abspath(model)
    recipe = CalibratedRecipe(
        engine_of(threads, batch_size, device), path=os.path.abspath(path), model=where
    )
    opened = _native.CalibratedDetector.open(os.path.abspath(path), recipe.engine, where)
    place = where if where is not None else opened.model_path
    return CalibratedDetector._of(replace(recipe, model=place), opened)
