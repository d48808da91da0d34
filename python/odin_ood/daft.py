"""Scoring with Daft, on one machine or many."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .detector import CalibratedDetector, Detector
from .stream import BatchScorer, images_of

if TYPE_CHECKING:
    import daft
    import pyarrow

__all__ = ["score"]


def score(
    df: daft.DataFrame,
    detector: str | os.PathLike[str] | CalibratedDetector | Detector,
    image_column: str = "image",
    *,
    keep: bool | Sequence[str] = True,
    workers: int = 1,
    threads: int | None = None,
    batch_size: int = 256,
) -> daft.DataFrame:
    """Scores the images of a Daft data frame.

    Nothing is computed before Daft is asked for the rows. Each worker opens the model once, which goes
    to it with the detector. A row that cannot be scored has an ``error``, the prediction -1 and scores
    of NaN; the others have the bits that one process gives.

    Args:
        df: Rows with an image each.
        detector: A ``detector.toml``, or a detector.
        image_column: Of encoded images (``Binary``), of paths that the workers see (``String``), or of
            images or tensors of Daft.
        keep: Which columns of ``df`` the result has, too: all but that of the images (True), none
            (False), or those named.
        workers: How many score at once. On one machine, one with all threads is as fast as several.
        threads: Of each worker; all that the process may use if there is one worker, otherwise 1.
        batch_size: How many rows a worker scores at once.

    Returns:
        A data frame of the columns kept and those of :attr:`BatchScorer.columns`.

    Raises:
        OdinOSError: The detector cannot be read.
        OdinValueError: There is no such column, or one has the name of a column that is added.

    >>> images = daft.from_glob_path("photos/*.jpg")  # doctest: +SKIP
    >>> odin_ood.daft.score(images, "detector.toml", "path", keep=["path"]).show()  # doctest: +SKIP
    """
    import daft

    threads = 1 if threads is None and workers > 1 else threads
    scorer = BatchScorer.for_workers(detector, image_column, keep=keep, threads=threads)
    kept = [daft.col(name) for name in scorer.kept(tuple(df.column_names))]
    added = _function(scorer, workers, threads, batch_size)(daft.col(image_column))
    return df.select(*kept, added)


def _function(scorer: BatchScorer, workers: int, threads: int | None, batch_size: int) -> Any:
    """A function of Daft that gives a column for each that the scorer adds."""
    import daft

    untyped: Any = daft
    kinds, method, cls = untyped.DataType, untyped.method, untyped.cls
    fields = {field.name: kinds.from_arrow_type(field.type) for field in scorer.schema}

    class Scorer:
        def __init__(self, scorer: BatchScorer) -> None:
            self.scorer = scorer

        @method.batch(  # type: ignore[untyped-decorator, unused-ignore]
            return_dtype=kinds.struct(fields), unnest=True, batch_size=batch_size
        )
        def scores(self, images: Any) -> Any:
            return _scored(self.scorer, images)

    return cls(cpus=threads, max_concurrency=workers)(Scorer)(scorer).scores


def _scored(scorer: BatchScorer, images: Any) -> pyarrow.StructArray:
    """The columns that are added, of a series of images."""
    kind = images.datatype()
    is_plain = kind.is_binary() or kind.is_string() or kind.is_list() or kind.is_fixed_size_list()
    items = images_of(images.to_arrow()) if is_plain else images.to_pylist()
    return scorer.arrow(items).to_struct_array()
