"""Spark: the rows of a data frame in local mode, with two workers."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_stream import ADDED, SCORES, png, same

import odin_ood

if os.environ.get("ODIN_REQUIRE"):
    import pyspark
else:
    pyspark = pytest.importorskip("pyspark")

import odin_ood.spark
from pyspark.sql import SparkSession

DEMO = Path(__file__).resolve().parents[3] / "demo"


@pytest.fixture(scope="module")
def spark() -> Any:
    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "16")
        .getOrCreate()
    )
    yield session
    session.stop()


@pytest.fixture(scope="module")
def detector() -> Any:
    return odin_ood.load(DEMO / "detector.toml", threads=1)


def arrays(rows: list[Any]) -> dict[str, np.ndarray]:
    return {name: np.array([row[name] for row in rows]) for name in (*SCORES, "is_in_distribution")}


def test_rows_have_the_bits_of_one_process(spark: Any, detector: Any, near: np.ndarray) -> None:
    images = [*(png(image[0]) for image in near[:60]), None, b"damaged"]
    df = spark.createDataFrame(list(enumerate(images)), "id int, image binary").repartition(3)
    scored = odin_ood.spark.score(df, detector)
    assert scored.columns == ["id", *ADDED]
    assert scored.schema["id"].dataType == df.schema["id"].dataType
    rows = sorted(scored.collect())
    assert [row.id for row in rows] == list(range(62))
    assert same(arrays(rows[:60]), detector.judge(near[:60]), slice(60))
    assert [row.error is None for row in rows] == [True] * 60 + [False] * 2
    assert rows[61].error.startswith("image is no PNG") and rows[61].prediction == -1


def test_files_by_their_content_and_by_their_path(
    spark: Any, detector: Any, near: np.ndarray, tmp_path: Path
) -> None:
    for i, image in enumerate(near[:5]):
        (tmp_path / f"{i}.png").write_bytes(png(image[0]))
    files = spark.read.format("binaryFile").load(str(tmp_path))
    by_content = odin_ood.spark.score(files, detector, "content", keep=["path"]).sort("path").collect()
    paths = spark.createDataFrame([(str(tmp_path / f"{i}.png"),) for i in range(5)], "path string")
    by_path = odin_ood.spark.score(paths, DEMO / "detector.toml", "path", keep=["path"]).sort("path").collect()
    for rows in (by_content, by_path):
        assert [row.path[-5:] for row in rows] == [f"{i}.png" for i in range(5)]
        assert same(arrays(rows), detector.judge(near[:5]), slice(5))


def test_columns_that_do_not_fit_are_refused_at_once(spark: Any, detector: Any) -> None:
    df = spark.createDataFrame([(1, b"")], "odin int, image binary")
    with pytest.raises(odin_ood.OdinValueError, match="'odin' is in the input already"):
        odin_ood.spark.score(df, detector)
    with pytest.raises(odin_ood.OdinValueError, match="there is no column 'photo'"):
        odin_ood.spark.score(df, detector, "photo")
