"""A detector of this package as one of pytorch-ood, for its benchmarks, metrics and searches.

pytorch-ood's detectors give **outlier** scores: high means out-of-distribution. That is the negative
of every score of this package; :class:`OdinOOD` turns the sign. PyTorch and pytorch-ood are imported by
this module alone, and are no dependencies of the package.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_ood.api import Detector as _Detector
from pytorch_ood.api import DetectorInfo, Paper, RequiresFittingException, Task

from .detector import Detector
from .errors import OdinValueError

__all__ = ["OdinOOD"]

# What rounding may add to a pixel that was normalised and is not any more.
_ROUNDING = 1e-4

_FITTED = (
    "kl-matching",
    "temperature-scaling",
    "mahalanobis",
    "relative-mahalanobis",
    "mahalanobis-pp",
    "relative-mahalanobis-pp",
    "gmm",
    "knn",
    "nn-guide",
    "she",
    "weiper-kld",
    "vim",
    "react",
    "vra",
    "dice",
    "adascale-a",
    "adascale-l",
    "react-map",
    "fdbd",
    "nci",
)
"""Scores that are fitted to training images; ``scores`` of :meth:`Detector.fit` names them all."""


class OdinOOD(_Detector):  # type: ignore[misc]
    """ODIN, or another score of this package, behind pytorch-ood's ``Detector``.

    Args:
        model: An :class:`odin_ood.Detector`, or a PyTorch module, which is exported in evaluation mode when
            the first batch shows the shape of its images; changes of the module after that are not seen.
        eps: ε on the [0, 1] pixel scale, divided by ``std`` for every channel, as pytorch-ood does
            where its ``norm_std`` is given; that of the detector, or 0.0014, unless given.
        temperature: T; that of the detector, or 1000, unless given.
        mean, std: The normalisation of each channel, for a module only.
        score: The name of the score, such as ``"odin"``, ``"energy"`` or ``"knn"``.
        normalized: Whether :meth:`predict` and :meth:`fit` get **normalised** images, as all of pytorch-ood's
            detectors do; they are brought back to [0, 1] by the detector's mean and standard deviation.
            False for images from 0 to 1.
        parameters: Of a score that is fitted, such as ``knn_k=10``.

    Raises:
        OdinValueError: Mean or standard deviation are missing or do not fit, or normalised images
            cannot be brought back because the model has a scale, an order of channels or a transform of
            its own.

    >>> import torch
    >>> from odin_ood.pytorch_ood import OdinOOD
    >>> theirs = OdinOOD(detector, normalized=False)
    >>> outlier_scores = theirs(torch.from_numpy(near[:3]).float() / 255)
    >>> outlier_scores.shape, bool((outlier_scores < 0).all())
    (torch.Size([3]), True)
    """

    info: ClassVar[Any] = DetectorInfo(
        paper=Paper(
            title="Enhancing The Reliability of Out-of-distribution Image Detection in Neural Networks",
            venue="ICLR",
            year=2018,
            url="https://arxiv.org/abs/1706.02690",
        ),
        tasks={Task.CLASSIFICATION},
    )
    hyperparameter_space: ClassVar[dict[str, list[float]]] = {
        "temperature": [1.0, 10.0, 100.0, 1000.0],
        "eps": [0.0, 0.0007, 0.0014, 0.0028],
    }

    def __init__(
        self,
        model: Detector | torch.nn.Module,
        *,
        eps: float | None = None,
        temperature: float | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        score: str = "odin",
        normalized: bool = True,
        **parameters: Any,
    ) -> None:
        super().__init__()
        self._asked = {"temperature": temperature, "magnitude": eps}
        self._score, self._parameters, self._normalized = score, parameters, normalized
        self._module: torch.nn.Module | None = None
        self._detector: Detector | None = None
        if isinstance(model, torch.nn.Module):
            if mean is None or std is None:
                raise OdinValueError("a module needs the mean and std that its images are normalised with")
            self._module = model
            self._normalization: dict[str, Any] = {"mean": list(mean), "std": list(std)}
        elif isinstance(model, Detector):
            if mean is not None or std is not None:
                raise OdinValueError("the detector has its mean and std; leave them out")
            self._detector = self._set(model)
            self._check_normalization()
        else:
            raise OdinValueError(f"{type(model).__name__} is neither a detector nor a torch.nn.Module")

    @property
    def requires_fit(self) -> bool:
        """Whether :meth:`fit` must be called before :meth:`predict`."""
        return self._score in _FITTED and not self._has_score()

    @property
    def eps(self) -> float:
        """ε on the [0, 1] pixel scale."""
        return self._setting("magnitude", 0.0014)

    @property
    def temperature(self) -> float:
        """T."""
        return self._setting("temperature", 1000.0)

    def set_hyperparameters(self, **values: float) -> OdinOOD:
        """Another ``eps`` or ``temperature``; the model is not exported again.

        Raises:
            ValueError: There is no parameter of that name.

        >>> from odin_ood.pytorch_ood import OdinOOD
        >>> OdinOOD(detector).set_hyperparameters(eps=0.0028).eps
        0.0028
        """
        unknown = sorted(set(values) - set(self.hyperparameter_space))
        if unknown:
            raise ValueError(f"there is no parameter {unknown[0]!r}; there are eps and temperature")
        names = {"eps": "magnitude", "temperature": "temperature"}
        self._asked.update({names[name]: float(value) for name, value in values.items()})
        if self._detector is not None:
            self._detector = self._set(self._detector)
        return self

    def fit(self, data_loader: Iterable[Any]) -> OdinOOD:
        """Fits the score, where it needs that, to the images of a loader.

        Args:
            data_loader: Batches ``(x, y)``, ``x`` of shape ``(N, C, H, W)``; images with labels below 0 are
                left out, as pytorch-ood does.

        Raises:
            OdinValueError: The score cannot be fitted to these images.
        """
        if self._score not in _FITTED and self._has_score():
            return self
        batches = iter(_known(data_loader))
        first = next(batches, None)
        if first is None:
            raise OdinValueError("the loader holds no image with a label from 0")
        detector = self._opened(first[0])
        pairs = ((self._pixels(x), y) for x, y in chain([first], batches))
        self._detector = self._fitted(detector, pairs)
        return self

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Outlier scores: the negated scores of this package.

        Args:
            x: Images ``(N, C, H, W)`` on any device, normalised unless ``normalized=False`` was given.

        Returns:
            Scores ``(N,)`` of ``float64`` on the device of ``x``; high means out-of-distribution.

        Raises:
            RequiresFittingException: The score must be fitted first.
            OdinValueError: The images do not fit the network, or are not normalised as was said.
        """
        if self.requires_fit:
            raise RequiresFittingException
        detector, pixels = self._opened(x), self._pixels(x)
        if not self._has_score():
            # One that needs features or the last layer, but no training images.
            detector = self._detector = self._fitted(detector, pixels)
        scores = detector.score(pixels, layout="NCHW")
        return -torch.from_numpy(np.array(scores[self._score])).to(x.device)

    def _fitted(self, detector: Detector, images: Any) -> Detector:
        return detector.fit(images, scores=[self._score], layout="NCHW", **self._parameters)

    def _opened(self, x: torch.Tensor) -> Detector:
        """The detector; a module is exported for images of the shape of these."""
        if self._detector is None:
            detector = Detector.from_torch(self._module, x, **self._normalization)
            self._detector, self._module = self._set(detector), None
        return self._detector

    def _set(self, detector: Detector) -> Detector:
        """The detector at the setting that was asked for."""
        asked = {name: value for name, value in self._asked.items() if value is not None}
        if all(getattr(detector, name) == value for name, value in asked.items()):
            return detector
        return detector.with_setting(asked.get("temperature"), asked.get("magnitude"))

    def _setting(self, name: str, default: float) -> float:
        if self._detector is not None:
            return float(getattr(self._detector, name))
        asked = self._asked[name]
        return default if asked is None else asked

    def _has_score(self) -> bool:
        known = ("msp", "odin") if self._detector is None else self._detector.score_names
        return self._score in known

    def _check_normalization(self) -> None:
        """Refuses what cannot be brought back to [0, 1] from mean and standard deviation alone."""
        assert self._detector is not None
        model = self._detector._recipe.model
        options: Any = model.options
        told = [name for name in ("scale", "channels", "layout", "transform", "config") if options[name]]
        if model.path is not None and Path(model.path).with_name("model.toml").exists():
            told.append("model.toml")
        if self._normalized and told:
            raise OdinValueError(
                f"the model's {told[0]} cannot be undone; give images from 0 to 1 and normalized=False"
            )

    def _pixels(self, x: torch.Tensor) -> NDArray[np.float32]:
        """Images from 0 to 1, ``(N, C, H, W)``, from what pytorch-ood passes on."""
        images = x.detach().to("cpu", torch.float64).numpy()
        if self._normalized:
            mean, std = self._mean_and_std()
            if images.ndim != 4 or images.shape[1] != len(mean):
                raise OdinValueError(f"images have the shape (N, {len(mean)}, H, W), not {images.shape}")
            images = images * std[:, None, None] + mean[:, None, None]
        low, high = (images.min(), images.max()) if images.size else (0.0, 1.0)
        if self._normalized and not (-_ROUNDING <= low and high <= 1 + _ROUNDING):
            raise OdinValueError(
                f"with this mean and std, pixels go from {low:.4g} to {high:.4g} instead of 0 to 1; "
                "images from 0 to 1 need normalized=False"
            )
        clipped = images.clip(0, 1) if self._normalized else images
        pixels: NDArray[np.float32] = clipped.astype(np.float32)
        return pixels

    def _mean_and_std(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        assert self._detector is not None
        classifier = self._detector._classifier()
        return np.array(classifier.mean, np.float64), np.array(classifier.std, np.float64)


def _known(loader: Iterable[Any]) -> Iterator[tuple[torch.Tensor, list[int]]]:
    """The in-distribution part of each batch, with its labels."""
    for x, y in loader:
        labels = torch.as_tensor(y)
        known = labels >= 0
        if bool(known.any()):
            yield x[known], labels[known].tolist()
