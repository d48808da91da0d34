"""Scoring on many machines with Spark."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .detector import CalibratedDetector, Detector
from .stream import BatchScorer

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType

__all__ = ["score"]


def score(
    df: DataFrame,
    detector: str | os.PathLike[str] | CalibratedDetector | Detector,
    image_column: str = "image",
    *,
    keep: bool | Sequence[str] = True,
    threads: int | None = None,
) -> DataFrame:
    """Scores the images of a Spark data frame.

    Nothing is computed before Spark asks for the rows. The detector and its model go to the workers,
    which need this package only; a worker opens the model once. A row that cannot be scored has an
    ``error``, the prediction -1 and scores of NaN; the others have the bits that one process gives.

    Args:
        df: Rows with an image each.
        detector: A ``detector.toml`` that the driver sees, or a detector.
        image_column: Of encoded images (``binary``, as the format ``binaryFile`` reads them) or of
            paths that the workers see (``string``).
        keep: Which columns of ``df`` the result has, too: all but that of the images (True), none
            (False), or those named.
        threads: Of each task; ``spark.task.cpus`` unless given.

    Returns:
        A data frame of the columns kept and those of :attr:`BatchScorer.columns`.

    Raises:
        OdinOSError: The detector cannot be read.
        OdinValueError: There is no such column, or one has the name of a column that is added.

    >>> images = spark.read.format("binaryFile").load("photos/*.jpg")  # doctest: +SKIP
    >>> odin_ood.spark.score(images, "detector.toml", "content").show()  # doctest: +SKIP
    """
    scorer = BatchScorer.for_workers(detector, image_column, keep=keep, threads=threads)
    return df.mapInArrow(scorer.record_batches, _schema(df, scorer))


def _schema(df: DataFrame, scorer: BatchScorer) -> StructType:
    """The columns kept as they are in ``df``, and those that are added."""
    from pyspark.sql import types

    known: dict[str, Any] = {
        "int64": types.LongType(),
        "double": types.DoubleType(),
        "bool": types.BooleanType(),
        "string": types.StringType(),
    }
    kept = [df.schema[name] for name in scorer.kept(tuple(df.columns))]
    added = [types.StructField(field.name, known[str(field.type)]) for field in scorer.schema]
    return types.StructType([*kept, *added])
