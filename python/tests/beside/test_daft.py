"""Daft: the rows of a data frame, by its runner for one machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_stream import ADDED, SCORES, png, same

import odin_ood

if os.environ.get("ODIN_REQUIRE"):
    import daft
else:
    daft = pytest.importorskip("daft")

import odin_ood.daft

DEMO = Path(__file__).resolve().parents[3] / "demo"


@pytest.fixture(scope="module")
def detector() -> Any:
    return odin_ood.load(DEMO / "detector.toml", threads=1)


def arrays(df: Any) -> dict[str, np.ndarray]:
    table = df.to_arrow()
    return {name: table[name].to_numpy() for name in (*SCORES, "is_in_distribution")}


@pytest.mark.parametrize("workers", [1, 2])
def test_rows_have_the_bits_of_one_process(workers: int, detector: Any, near: np.ndarray) -> None:
    images = [*(png(image[0]) for image in near[:60]), None, b"damaged"]
    df = daft.from_pydict({"id": list(range(62)), "image": images})
    scored = odin_ood.daft.score(df, detector, workers=workers, batch_size=16)
    assert scored.column_names == ["id", *ADDED]
    rows = scored.sort("id").collect()
    assert rows.to_pydict()["id"] == list(range(62))
    assert same(arrays(rows.limit(60)), detector.judge(near[:60]), slice(60))
    errors = rows.to_pydict()["error"]
    assert [error is None for error in errors] == [True] * 60 + [False] * 2
    assert errors[61].startswith("image is no PNG")


def test_paths_tensors_and_objects(detector: Any, near: np.ndarray, tmp_path: Path) -> None:
    for i, image in enumerate(near[:5]):
        (tmp_path / f"{i}.png").write_bytes(png(image[0]))
    paths = daft.from_pydict({"image": [str(tmp_path / f"{i}.png") for i in range(5)]})
    tensor = daft.DataType.tensor(daft.DataType.uint8())
    objects = daft.from_pydict({"image": list(near[:5])})
    tensors = objects.with_column("image", daft.col("image").cast(tensor))
    for df in (paths, objects, tensors):
        scored = odin_ood.daft.score(df, DEMO / "detector.toml", threads=1)
        assert same(arrays(scored), detector.judge(near[:5]), slice(5))


def test_columns_that_do_not_fit_are_refused_at_once(detector: Any) -> None:
    df = daft.from_pydict({"odin": [1], "image": [b""]})
    with pytest.raises(odin_ood.OdinValueError, match="'odin' is in the input already"):
        odin_ood.daft.score(df, detector)
    with pytest.raises(odin_ood.OdinValueError, match="there is no column 'photo'"):
        odin_ood.daft.score(df, detector, "photo")
