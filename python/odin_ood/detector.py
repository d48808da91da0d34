"""Detectors: a trained network with ODIN built into it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import _native
from ._base import Base, Errors, Labels, Path
from ._images import ImagesLike, Layout, batches, whole
from ._numbers import whole_number
from ._progress import Progress, behind, reporting
from ._recipes import CalibratedRecipe, Model, Recipe, engine_of, of_precision
from ._warnings import warn
from .calibrated import CalibratedDetector, load
from .errors import OdinValueError
from .fitting import FitSummary
from .scores import Scores

__all__ = ["CalibratedDetector", "Detector", "load"]

Rule: TypeAlias = Literal["tpr", "fpr", "detection-error"]

# Within the class below, `_native` is its method.
_Classifier: TypeAlias = _native.Classifier
_Detector: TypeAlias = _native.Detector
_Scored: TypeAlias = _native.Scored
_FitSummary: TypeAlias = _native.FitSummary
if TYPE_CHECKING:
    _Fitted: TypeAlias = _native.Fitted


class Detector(Base[Recipe, _native.Detector]):
    """A trained classifier with ODIN built into it, at one temperature and magnitude.

    Made by :meth:`from_onnx`, :meth:`from_checkpoint` or :meth:`from_torch`. It is immutable:
    :meth:`tune`, :meth:`fit` and :meth:`with_setting` give another one. It can be pickled (by the path
    and the hash of its model, or by the model's bytes), opens its model when it is first used, and may
    be used by several threads, and in processes that were forked.

    >>> detector
    <Detector of DenseNet-BC-22-12, 6 classes, images (1, 8, 8), T = 1000, ε = 0.0014>
    >>> detector.score(near[:2]).odin.shape
    (2,)
    """

    def __init__(self) -> None:
        raise TypeError("use Detector.from_onnx, from_checkpoint or from_torch")

    @classmethod
    def _of(cls, recipe: Recipe, classifier: _Classifier | None = None, /) -> Detector:
        self = object.__new__(cls)
        self._recipe = recipe
        self._reset(None, classifier)
        return self

    def _opened(self) -> _Detector:
        recipe = self._recipe
        return _Detector(
            self._classifier(),
            recipe.temperature,
            recipe.magnitude,
            recipe.precision,
            recipe.engine,
            recipe.scores,
            recipe.statistics,
            recipe.i_odin,
        )

    def _opened_classifier(self) -> _Classifier:
        return self._recipe.model.open()

    @classmethod
    def from_onnx(
        cls,
        model: Path | bytes,
        *,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        temperature: float = 1000.0,
        magnitude: float = 0.0014,
        threads: int | None = None,
        size: tuple[int, int] | None = None,
        transform: str | None = None,
        class_names: Sequence[str] | None = None,
        scale: float | None = None,
        channels: Literal["rgb", "bgr"] | None = None,
        layout: str | None = None,
        output: str | None = None,
        weights: str | None = None,
        multi_label: bool | None = None,
        config: Path | None = None,
        i_odin: bool = False,
        batch_size: int = 32,
        device: str = "cpu",
        precision: Literal["exact", "fast"] = "exact",
    ) -> Detector:
        """From an ONNX file, or its bytes.

        Args:
            model: The path of the file, or its content.
            mean, std: The normalisation of each channel, for pixels from 0 to ``scale``; that of the
                ``model.toml`` beside the model or of the usual networks unless given.
            temperature: T, positive.
            magnitude: ε on the [0, 1] pixel scale, from 0.
            threads: All that this process may use unless given. Scores do not depend on it.
            size: Height and width of images, where the model leaves them open.
            transform: What every image goes through first, such as
                ``"resize:256,centre-crop:224"``.
            class_names: In the order of the logits.
            scale: What a white pixel is before the mean is subtracted: 1, or 255.
            channels: The order of the network's channels.
            layout: The order of the input's axes, such as ``"NCHW"``.
            output: The output that holds the logits, where there are several.
            weights: Which weights of a checkpoint to take, such as ``"ema"``.
            multi_label: Whether the classes are labels that do not exclude each other; unless given,
                whether the file ends in a sigmoid of each.
            config: A ``model.toml`` that says all this.
            i_odin: Whether to compute i-ODIN, too: another forward pass.
            batch_size: How many images are scored together. Scores do not depend on it.
            device: ``"cpu"``, or ``"gpu"`` and ``"gpu:1"``, ... for a graphics processor by Vulkan,
                Metal or DirectX 12, by the built-in engines; ``"cuda:0"``, ``"openvino"``, ... by an
                installed ONNX Runtime.
            precision: ``"fast"`` computes in bfloat16 what reaches the scores only through a sign or the
                predicted class, and all else to nearly float32, by the built-in engine on processors
                on which that is faster; thresholds hold for the precision that they are
                calibrated in.

        Raises:
            OdinOSError: A file cannot be read.
            OdinValueError: The model cannot be understood, or what is said of it does not fit.
        """
        options: _native.Options = {
            "mean": mean,
            "std": std,
            "scale": scale,
            "channels": channels,
            "layout": layout,
            "size": size,
            "transform": transform,
            "class_names": None if class_names is None else list(class_names),
            "output": output,
            "weights": weights,
            "multi_label": multi_label,
            "config": config,
        }
        data = bytes(model) if isinstance(model, (bytes, bytearray, memoryview)) else None
        path = None if data is not None else os.path.abspath(model)
        source = Model(path, data, None, options)  # type: ignore[arg-type]
        classifier = source.open()
        source = replace(source, sha256=classifier.sha256)
        engine = engine_of(threads, batch_size, device)
        t, epsilon = float(temperature), float(magnitude)
        recipe = Recipe(source, t, epsilon, engine, i_odin=i_odin, precision=precision)
        self = cls._of(recipe, classifier)
        self._native()
        warn(classifier.notices)
        return self

    from_checkpoint = from_onnx
    """From a checkpoint of a known architecture (PyTorch or safetensors); as :meth:`from_onnx`."""

    @classmethod
    def from_torch(
        cls,
        module: Any,
        example_input: Any,
        *,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        class_names: Sequence[str] | None = None,
        **options: Any,
    ) -> Detector:
        """From a PyTorch module, which is exported to ONNX in memory.

        Args:
            module: A classifier in evaluation or training mode, which it is left in: normalised images
                to logits.
            example_input: A batch of one or more normalised images, ``(N, C, H, W)``.
            mean, std, class_names: As of :meth:`from_onnx`.
            options: The others of :meth:`from_onnx`.

        Raises:
            OdinValueError: The module is no classifier of images, or has operators without a gradient.
        """
        from ._export import onnx_of

        data = onnx_of(module, example_input)
        return cls.from_onnx(data, mean=mean, std=std, class_names=class_names, **options)

    @staticmethod
    def load(path: Path, *, model: Path | None = None, threads: int | None = None) -> CalibratedDetector:
        """As :func:`odin_ood.load`."""
        return load(path, model=model, threads=threads)

    @property
    def architecture(self) -> str:
        """Such as ``DenseNet-BC-100-12``; for an ONNX file, its format."""
        return self._classifier().architecture

    @property
    def temperature(self) -> float:
        """T."""
        return self._recipe.temperature

    @property
    def magnitude(self) -> float:
        """ε on the [0, 1] pixel scale."""
        return self._recipe.magnitude

    @property
    def precision(self) -> str:
        """``"exact"`` or ``"fast"``."""
        return self._recipe.precision

    @property
    def instructions(self) -> str | None:
        """What the network's products are computed with here, such as ``"AVX-512"``; None where ONNX
        Runtime runs it."""
        return self._native().instructions

    def score(
        self,
        images: ImagesLike,
        *,
        labels: Labels = None,
        layout: Layout | None = None,
        errors: Errors = "raise",
        progress: Progress = None,
    ) -> Scores:
        """Scores images.

        Args:
            images: A path (folder, archive, image, ``.npy``, ...), a NumPy array or tensor of shape
                ``(N, H, W, C)``, ``(N, C, H, W)`` or ``(N, H, W)``, a PIL image, a sequence of those, or an
                iterable of batches such as a ``DataLoader``. Arrays hold ``uint8`` levels or ``float32``
                from 0 to 1, **not normalised**; those in C order are read where they lie.
            labels: The true classes ``(N,)``, for arrays and sequences.
            layout: ``"NCHW"`` or ``"NHWC"``, where the shape of an array does not tell.
            errors: ``"keep"`` gives an image that cannot be scored a row with NaN and its error.
            progress: A function of the images done and in all, as far as they are known; True for a bar
                by tqdm.

        Raises:
            OdinValueError: An image has not the shape that the network takes, is damaged, or its shape
                is ambiguous; the message names it.

        >>> detector.score(near[:5]).msp.shape
        (5,)
        """
        return self._columns(Scores, self._native().score, images, labels, layout, errors, progress)

    def gradient(self, images: ImagesLike, *, layout: Layout | None = None) -> NDArray[np.float32]:
        """The input gradient whose sign ODIN follows, ``∂ log S_ŷ(x; T) / ∂x``.

        Returns:
            An array ``(N, C, H, W)`` of ``float32``, with respect to pixels on the [0, 1] scale, of
            the images as the network sees them (after the transform).

        >>> detector.gradient(near[:2]).shape
        (2, 1, 8, 8)
        """
        return self._gradient(images, layout)

    def with_setting(
        self,
        temperature: float | None = None,
        magnitude: float | None = None,
        precision: Literal["exact", "fast"] | None = None,
    ) -> Detector:
        """The same at another temperature or magnitude, or in another precision.

        >>> detector.with_setting(magnitude=0.005).magnitude
        0.005
        """
        t = self._recipe.temperature if temperature is None else float(temperature)
        epsilon = self._recipe.magnitude if magnitude is None else float(magnitude)
        own = self._recipe.precision if precision is None else precision
        recipe = replace(self._recipe, temperature=t, magnitude=epsilon, precision=own)
        other = self._of(recipe, self._classifier())
        other._native()
        return other

    def tune(
        self,
        images: ImagesLike,
        out_images: ImagesLike = None,
        *,
        temperatures: Sequence[float] | None = None,
        magnitudes: Sequence[float] | None = None,
        objective: str | None = None,
        rule: Literal["fixed", "synthetic", "mean-score"] | None = None,
        seed: int = 0,
        layout: Layout | None = None,
        progress: Progress = None,
    ) -> Detector:
        """Chooses T and ε on validation images.

        Args:
            images: In-distribution images, as of :meth:`score`; not those to test on.
            out_images: Out-of-distribution images; without them ``rule`` chooses.
            temperatures, magnitudes: The grid; that of the paper unless given.
            objective: ``"fpr95"`` against out-of-distribution images unless given.
            rule: Without out-of-distribution images: ``"fixed"`` (T = 1000, ε = 0.0014),
                ``"synthetic"`` or ``"mean-score"``.
            seed: Of synthetic images.

        Returns:
            A detector at the setting chosen; :attr:`temperature` and :attr:`magnitude` tell it.

        >>> tuned = detector.tune(known[:60], near[:60], temperatures=[1000], magnitudes=[0, 0.005])
        >>> tuned.temperature
        1000.0
        """
        grid = _grid(temperatures, magnitudes)
        seed = whole_number("seed", seed, 0)
        classifier = self._classifier()
        inside = whole(classifier, images, None, layout)
        outside = None if out_images is None else whole(classifier, out_images, None, layout)
        with reporting(progress) as report:
            tuned = self._native().tune(inside, outside, grid, objective, rule, seed, report)
        return self.with_setting(tuned["temperature"], tuned["magnitude"])

    def fit(
        self,
        train_images: ImagesLike,
        labels: Labels = None,
        *,
        scores: Sequence[str] | None = None,
        layout: Layout | None = None,
        progress: Progress = None,
        **parameters: Any,
    ) -> Detector:
        """Fits scores beside ODIN to training images: only the forward pass is run.

        Args:
            train_images: As of :meth:`score`.
            labels: The true classes ``(N,)``; predicted classes stand in for them unless all are known.
            scores: Their names, such as ``["knn", "vim"]``; all that fit the network unless given.
            parameters: Such as ``knn_k=200``; those of the papers unless given.

        Returns:
            A detector that computes them, too.

        >>> detector.fit(known, scores=["knn", "vim"], knn_k=10).score_names[:4]
        ('msp', 'odin', 'knn', 'vim')
        """
        images = whole(self._classifier(), train_images, labels, layout)
        names = None if scores is None else list(scores)
        with reporting(progress) as report:
            fitted = self._native().fit(images, names, parameters, report)
        return self._with_fitted(fitted)

    def summarize(
        self,
        train_images: ImagesLike,
        labels: Labels = None,
        *,
        scores: Sequence[str] | None = None,
        layout: Layout | None = None,
        progress: Progress = None,
        **parameters: Any,
    ) -> FitSummary:
        """What :meth:`fit` fits scores from, of the training images that are here.

        Summaries of images on other machines are merged with it, and :meth:`fit_summary` fits to all.
        Only the forward pass is run, and an iterable is never held in memory as a whole.

        Args:
            train_images: As of :meth:`score`.
            labels: The true classes ``(N,)``; predicted classes stand in for them unless all of *these*
                images have one. Either all summaries have labels or none, or they are not merged.
            scores: The names of those to be fitted, the same for all summaries; all unless given.
            parameters: As of :meth:`fit`. Those that training images are gone through with, such as
                ``adascale_epsilon``, must be the same here and in :meth:`fit_summary`; others have no
                effect here.

        Raises:
            OdinValueError: An image has not the shape that the network takes, or is damaged; a score needs
                the last linear layer, and the network has none.

        >>> names = ["knn", "mahalanobis"]
        >>> here, there = (detector.summarize(part, scores=names) for part in (known[:50], known[50:]))
        >>> detector.fit_summary(here + there, knn_k=10).score_names[:4]
        ('msp', 'odin', 'mahalanobis', 'knn')
        """
        names = None if scores is None else list(scores)
        with reporting(progress) as report:
            parts = self._summaries(train_images, labels, names, parameters, layout, report)
            summary = FitSummary._joined(parts)
        if summary is None:
            raise OdinValueError("there is no image")
        return summary

    def _summaries(
        self,
        images: ImagesLike,
        labels: Labels,
        names: list[str] | None,
        parameters: dict[str, Any],
        layout: Layout | None,
        report: Any,
    ) -> Iterator[_FitSummary]:
        done = 0
        for batch in batches(self._classifier(), images, labels, layout):
            yield self._native().summarize(batch, names, parameters, False, behind(done, report))
            done += len(batch)

    def fit_summary(
        self, summary: FitSummary, *, scores: Sequence[str] | None = None, **parameters: Any
    ) -> Detector:
        """Fits scores beside ODIN, as :meth:`fit`, to the images of a summary.

        Args:
            summary: Of :meth:`summarize`, or several merged; of this network.
            scores: The names of some that it was made for; all of those that can be fitted unless given.
            parameters: As of :meth:`fit`.

        Returns:
            A detector that computes them, too.

        Raises:
            OdinValueError: The summary is of another network or not for these scores; its images do not
                determine what is to be fitted.

        >>> detector.fit_summary(detector.summarize(known, scores=["vim"])).score_names[:3]
        ('msp', 'odin', 'vim')
        """
        names = None if scores is None else list(scores)
        return self._with_fitted(self._native().fit_summary(summary._summary, names, parameters))

    def _with_fitted(self, fitted: _Fitted) -> Detector:
        warn(fitted["warnings"])
        warn(f"{name} is left out: {reason}" for name, reason in fitted["left_out"])
        recipe = replace(
            self._recipe, scores=tuple(fitted["names"]), statistics=fitted["statistics"]
        )
        return self._of(recipe, self._classifier())

    def calibrate(
        self,
        images: ImagesLike,
        tpr: float = 0.95,
        out_images: ImagesLike = None,
        *,
        score: str = "odin",
        rule: Rule = "tpr",
        fpr: float = 0.05,
        per_class: bool = False,
        layout: Layout | None = None,
        progress: Progress = None,
    ) -> CalibratedDetector:
        """Chooses thresholds on held-out in-distribution images.

        Args:
            images: In-distribution images that neither the network nor the setting was fitted to.
            tpr: The share of in-distribution images to keep.
            out_images: Out-of-distribution images, which ``rule`` may need.
            score: The score that decides. The others of this detector are calibrated beside it.
            rule: ``"tpr"``, ``"fpr"`` (at most ``fpr`` of the others pass) or ``"detection-error"``.
            per_class: Whether each predicted class gets a threshold of its own.

        >>> detector.calibrate(known, tpr=0.9)
        <CalibratedDetector by odin >= ..., T = 1000, ε = 0.0014>
        """
        if rule not in ("tpr", "fpr", "detection-error"):
            raise OdinValueError(f"there is no rule {rule!r}; it is tpr, fpr or detection-error")
        native = self._native()
        if score not in native.score_names:
            known = ", ".join(native.score_names)
            raise OdinValueError(f"there is no score {score!r}; there are {known}")
        names = [score, *(name for name in native.score_names if name != score)]
        with reporting(progress) as report:
            inside = self._scored(images, layout, report)
            outside = None if out_images is None else self._scored(out_images, layout, report)
        rate = fpr if rule == "fpr" else tpr
        calibrated = native.calibrate(inside, outside, names, rule, rate, per_class)
        recipe = CalibratedRecipe(self._recipe.engine, model=self._recipe.model.location())
        return CalibratedDetector._of(recipe, calibrated)

    def _scored(self, images: ImagesLike, layout: Layout | None, report: Any) -> _Scored:
        scored: list[_native.Scored] = []
        for batch in batches(self._classifier(), images, None, layout):
            done = sum(map(len, scored))
            scored.append(self._native().score(batch, False, behind(done, report)))
        if not scored:
            raise OdinValueError("there is no image to calibrate on")
        return scored[0] if len(scored) == 1 else _native.Scored.joined(scored)

    def __repr__(self) -> str:
        t, epsilon = self.temperature, self.magnitude
        return (
            f"<Detector of {self.architecture}, {self.classes} classes, images {self.image_shape}, "
            f"T = {t:g}, ε = {epsilon:g}{of_precision(self.precision)}>"
        )


def _grid(
    temperatures: Sequence[float] | None, magnitudes: Sequence[float] | None
) -> tuple[list[float], list[float]] | None:
    if temperatures is None and magnitudes is None:
        return None
    return list(temperatures or [1000.0]), list(magnitudes or [i * 0.0002 for i in range(21)])
