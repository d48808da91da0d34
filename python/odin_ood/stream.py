"""Batches of rows in, rows out: the one class that engines for many machines need."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .detector import CalibratedDetector, Detector, load
from .errors import OdinError, OdinValueError
from .scores import Scores

if TYPE_CHECKING:
    import pyarrow

__all__ = ["BatchScorer"]


class BatchScorer:
    """Scores batches of rows that hold an image each.

    For Ray Data it is the class of ``map_batches``; for Spark and Daft, :meth:`record_batches` is the
    function of ``mapInArrow``. A row that cannot be scored is a row with an ``error``. Scores depend
    neither on the batch nor on threads, so that every engine gives the same, bit for bit.

    Args:
        detector_path: A ``detector.toml``, or a detector itself.
        image_column: Of paths (text), encoded images (bytes), or arrays of one shape.
        threads: For each worker; all that its process may use unless given.
        keep: Whether the columns of the input, but for the images, are in the output, too.

    >>> scorer = odin_ood.BatchScorer(calibrated)
    >>> rows = scorer({"path": np.array(["a", "b"]), "image": near[:2]})
    >>> sorted(rows)[:3], rows["is_in_distribution"].dtype
    (['error', 'is_in_distribution', 'odin'], dtype('bool'))
    """

    def __init__(
        self,
        detector_path: str | os.PathLike[str] | CalibratedDetector | Detector,
        image_column: str = "image",
        *,
        threads: int | None = None,
        keep: bool = True,
    ) -> None:
        self.image_column = image_column
        self.keep = keep
        if isinstance(detector_path, (str, os.PathLike)):
            self.detector: CalibratedDetector | Detector = load(detector_path, threads=threads)
        else:
            self.detector = detector_path

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """The columns of the batch but for the images, and those of scores, each of one length."""
        images = batch[self.image_column]
        kept = {name: values for name, values in batch.items() if name != self.image_column}
        columns = self._scored(images)
        clash = sorted(set(kept) & set(columns)) if self.keep else []
        if clash:
            raise OdinValueError(f"the column {clash[0]!r} is in the input already; rename it")
        return {**kept, **columns} if self.keep else columns

    def _scored(self, images: Sequence[Any] | NDArray[Any]) -> dict[str, Any]:
        """The scores of images, each a row of its own."""
        if len(images) == 0:
            return self._empty()
        if isinstance(images, np.ndarray) and images.dtype != object:
            return self._columns(images)
        rows = [_image(item) for item in images]
        if all(isinstance(row, bytes) for row in rows) or all(isinstance(row, str) for row in rows):
            return self._columns(rows)
        # Each on its own: one of another kind, or none, must not cost the others their scores.
        alone = [self._alone(row) for row in rows]
        return {name: _joined([row[name] for row in alone]) for name in alone[0]}

    def _alone(self, row: Any) -> dict[str, Any]:
        try:
            if row is None:
                raise OdinValueError("there is no image")
            return self._columns([row])
        except OdinError as error:
            return self._unscored(str(error))

    def _columns(self, images: Any) -> dict[str, Any]:
        judge = getattr(self.detector, "judge", self.detector.score)
        scores: Scores = judge(images, errors="keep")
        columns = {name: scores[name] for name in scores if name not in ("file", "label")}
        columns["error"] = np.array(scores.errors, dtype=object)
        return columns

    def _unscored(self, error: str) -> dict[str, Any]:
        """The row of an image without scores."""
        row = {name: np.full(1, np.nan) for name in self.detector.score_names}
        columns: dict[str, Any] = {"prediction": np.full(1, -1, np.int64), **row}
        if isinstance(self.detector, CalibratedDetector):
            columns.update({name: np.full(1, np.nan) for name in ("percentile", "p_value", "threshold")})
            columns["is_in_distribution"] = np.zeros(1, np.bool_)
        columns["error"] = np.array([error], dtype=object)
        return columns

    def _empty(self) -> dict[str, Any]:
        return {name: values[:0] for name, values in self._unscored("").items()}

    def record_batches(self, batches: Iterable[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
        """Record batches in, record batches out: the function of Spark's ``mapInArrow``.

        >>> import pyarrow
        >>> images = [image.tobytes() for image in near[:2]]
        >>> batch = pyarrow.record_batch({"path": ["a", "b"], "image": images})
        >>> next(scorer.record_batches([batch]))["error"].null_count
        0
        """
        import pyarrow

        for batch in batches:
            columns = {name: batch.column(name) for name in batch.schema.names}
            images = columns.pop(self.image_column).to_pylist()
            kept = columns if self.keep else {}
            scored = self({self.image_column: images})
            fields = [(name, pyarrow.array(values, type=_arrow_type(values))) for name, values in scored.items()]
            names = [*kept, *(name for name, _ in fields)]
            yield pyarrow.record_batch([*kept.values(), *(values for _, values in fields)], names=names)


def _image(item: Any) -> Any:
    """An entry of a column of objects: a path, a file's bytes, or an array."""
    if isinstance(item, (bytearray, memoryview)):
        return bytes(item)
    if isinstance(item, Mapping) and "bytes" in item:
        return item["bytes"]
    return np.asarray(item) if isinstance(item, list) else item


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(parts)


def _arrow_type(values: NDArray[Any]) -> Any:
    import pyarrow

    return pyarrow.string() if values.dtype == object else pyarrow.from_numpy_dtype(values.dtype)
