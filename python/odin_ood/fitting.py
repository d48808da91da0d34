"""Summaries of training images, which scores are fitted from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from . import _native
from ._warnings import counted_images

__all__ = ["FitSummary"]


class FitSummary:
    """What scores are fitted from, made where the images are.

    :meth:`Detector.summarize <odin_ood.Detector.summarize>` makes one of the images that a machine has,
    ``+`` (or :meth:`merge`) that of the images of both, in any order, and
    :meth:`Detector.fit_summary <odin_ood.Detector.fit_summary>` fits to all of them. It can be pickled.

    What is fitted is that of one process: bit for bit for ``knn``, ``nn-guide``, ``vim`` (of up to 65,536
    images), ``vra``, ``react`` and ``temperature-scaling``, and to the last bits of sums in double precision for the others (the rounding
    of their inverse covariances to single precision can turn that into 1e-7 of a Mahalanobis distance).

    Its size, for C classes and D features of the last linear layer: ``8 D`` bytes for ``fdbd``,
    ``nci`` and ``dice``, ``8 (D + C D + D² / 2)`` for Mahalanobis distances and as much for those of
    normalised features, ``8 C (D + D² / 2)`` for ``gmm``, ``8 C D`` for ``she``, ``8 C²`` for ``kl-matching``; ``4 (D + 1)``
    an image for ``knn``, ``nn-guide``, ``vim``, ``vra`` and ``weiper-kld``, ``4 (C + 1)`` an image for
    ``temperature-scaling``, both of 65,536 images at most, and 3 to 6 a different activation for ``react``.
    Of more images those with the least hashes of what the network says of them are kept: parameters of
    :meth:`Detector.fit_summary <odin_ood.Detector.fit_summary>` that draw others, such as another
    ``knn_seed``, are errors then.

    >>> parts = [detector.summarize(part, scores=["vim", "nci"]) for part in (known[:50], known[50:])]
    >>> parts[0] + parts[1]
    <FitSummary of 361 images without labels for vim, nci>
    """

    __slots__ = ("_summary",)
    _summary: _native.FitSummary

    def __init__(self) -> None:
        raise TypeError("use Detector.summarize")

    @classmethod
    def _of(cls, native: _native.FitSummary) -> FitSummary:
        summary = object.__new__(cls)
        summary._summary = native
        return summary

    @classmethod
    def _joined(cls, parts: Iterable[_native.FitSummary]) -> FitSummary | None:
        """The merge of parts that nobody else has, in place; None of none."""
        merged: _native.FitSummary | None = None
        for part in parts:
            if merged is None:
                merged = part
            else:
                merged.absorb(part)
        return None if merged is None else cls._of(merged)

    @classmethod
    def from_bytes(cls, data: bytes) -> FitSummary:
        """The summary of these bytes, which are checked.

        Raises:
            OdinValueError: They are damaged, or are no summary.
        """
        return cls._of(_native.FitSummary.from_bytes(data))

    def to_bytes(self) -> bytes:
        """The summary as bytes, which any machine reads."""
        return self._summary.to_bytes()

    def merge(self, other: FitSummary) -> FitSummary:
        """The summary of the images of both; those that are in both count twice.

        Raises:
            OdinValueError: They are of different networks or for different scores, or one has labels and
                the other has not.
        """
        return self._of(self._summary.merged(other._summary))

    def __add__(self, other: FitSummary) -> FitSummary:
        return self.merge(other)

    @property
    def images(self) -> int:
        """The number of images."""
        return self._summary.images

    @property
    def has_labels(self) -> bool:
        """Whether they have labels; the classes that the network predicts stand in for them if not."""
        return self._summary.has_labels

    @property
    def scores(self) -> tuple[str, ...]:
        """The names of the scores that it was made for."""
        return tuple(self._summary.scores)

    def __reduce__(self) -> tuple[Any, tuple[bytes]]:
        return (FitSummary.from_bytes, (self.to_bytes(),))

    def __repr__(self) -> str:
        labels = "with" if self.has_labels else "without"
        return f"<FitSummary of {counted_images(self.images)} {labels} labels for {', '.join(self.scores)}>"
