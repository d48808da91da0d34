"""Scores and verdicts as columns, for data frames of all makers."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from support import multilayer, needed

import odin_ood
from odin_ood import OdinValueError, Scores, Verdicts

N = 5
DECISION = ("percentile", "p_value", "threshold", "is_in_distribution")


@pytest.fixture(scope="module")
def tables(detector, calibrated, known, near, tmp_path_factory) -> dict[str, Scores]:
    folder = tmp_path_factory.mktemp("images")
    (folder / "ä b.png").write_bytes(b"")
    np.save(folder.parent / "one.npy", near[:1])
    from PIL import Image

    Image.fromarray(near[0, 0]).save(folder / "c.png")
    fitted = detector.fit(known, scores=["knn"], knn_k=5)
    return {
        "scores": detector.score(near[:N]),
        "labels": detector.score(near[:N], labels=range(N)),
        "fitted": fitted.score(near[:N]),
        "verdicts": calibrated.judge(near[:N]),
        "scores of a calibrated detector": calibrated.score(near[:N]),
        "errors": calibrated.judge(folder, errors="keep"),
        "only errors": detector.score(np.full((3, 1, 8, 8), 2.0), errors="keep"),
        "one": detector.score(near[0]),
    }


TABLES = (
    "scores",
    "labels",
    "fitted",
    "verdicts",
    "scores of a calibrated detector",
    "errors",
    "only errors",
    "one",
)
every = pytest.mark.parametrize("name", TABLES)


def same(values: list, expected: list) -> bool:
    """Equal, where NaN equals NaN and None, as data frames have it."""
    missing = [v is None or v != v for v in values] == [v is None or v != v for v in expected]
    return missing and all(a == b for a, b in zip(values, expected) if b is not None and b == b)


@every
def test_columns(name, tables) -> None:
    scores = tables[name]
    texts = [column for column in ("file", "error") if column in scores.columns]
    assert scores.columns[:3] == ("file", "label", "prediction")
    assert tuple(scores) == scores.columns == tuple(scores.to_dict())
    assert {"msp", "odin"} <= set(scores.names) < set(scores.columns)
    assert not set(scores.names) & {*texts, *DECISION}
    for column in scores:
        values = scores[column]
        assert len(values) == len(scores)
        if column in texts:
            assert isinstance(values, list)
        else:
            wanted = {"label": np.int64, "prediction": np.int64, "is_in_distribution": np.bool_}
            assert values.dtype == wanted.get(column, np.float64)
            assert values.shape == (len(scores),)
        if column != "error":
            assert getattr(scores, column.replace("-", "_")) is values or column == "file"
    assert set(name.replace("-", "_") for name in scores.names) <= set(dir(scores))
    images = "1 image" if len(scores) == 1 else f"{len(scores)} images"
    assert repr(scores).startswith(f"<{type(scores).__name__} of {images}: msp, odin")
    assert len(scores.errors) == len(scores)


@every
def test_equality_and_copies(name, tables) -> None:
    scores = tables[name]
    for again in (pickle.loads(pickle.dumps(scores)), copy.copy(scores), copy.deepcopy(scores)):
        assert type(again) is type(scores)
        assert again == scores
    assert scores != 3
    assert all((other == scores) == (key == name) for key, other in tables.items() if key not in ("scores", *ALIKE))
    with pytest.raises(TypeError):
        hash(scores)


ALIKE = ("scores of a calibrated detector",)
"""Those of the detector that was calibrated are the same."""


def test_scores_of_a_calibrated_detector_are_scores(tables) -> None:
    assert type(tables["scores of a calibrated detector"]) is Scores
    assert tables["scores of a calibrated detector"] == tables["scores"]


def test_one_value_makes_a_difference(tables) -> None:
    scores = tables["labels"]
    for column in scores:
        values = copy.copy(scores[column])
        values[0] = "other" if column == "file" else 77
        assert Scores({**scores.to_dict(), column: values}) != scores


@every
def test_pandas(name, tables) -> None:
    needed("pandas")
    scores = tables[name]
    frame = scores.to_pandas()
    assert tuple(frame.columns) == scores.columns
    for column in scores:
        assert same(frame[column].tolist(), list(scores[column])), column


@every
@pytest.mark.parametrize("reader", ["polars", "pyarrow", "duckdb", "pandas"])
def test_arrow(name, reader, tables) -> None:
    library = needed(reader)
    scores = tables[name]
    if reader == "polars":
        rows = library.DataFrame(scores).to_dict(as_series=False)
    elif reader == "pyarrow":
        rows = library.table(scores).to_pydict()
    elif reader == "pandas":
        frame = library.DataFrame.from_arrow(scores)
        rows = {column: frame[column].tolist() for column in frame}
    else:
        found = library.sql("select * from scores").fetchall()
        rows = dict(zip(scores.columns, zip(*found)))
    assert tuple(rows) == scores.columns
    for column in scores:
        assert same(list(rows[column]), list(scores[column])), column


def test_arrow_types(tables) -> None:
    pyarrow = needed("pyarrow")
    types = {field.name: str(field.type) for field in pyarrow.table(tables["errors"]).schema}
    expected = dict.fromkeys(tables["errors"].columns, "double")
    expected |= {"file": "string", "error": "string", "label": "int64", "prediction": "int64"}
    assert types == {**expected, "is_in_distribution": "bool"}


def test_a_query(tables) -> None:
    duckdb = needed("duckdb")
    verdicts = tables["verdicts"]  # noqa: F841 -- read by its name
    query = "select count(*), max(odin) from verdicts where is_in_distribution"
    [(count, largest)] = duckdb.sql(query).fetchall()
    inside = verdicts.odin[verdicts.is_in_distribution]
    assert (count, largest) == (len(inside), inside.max())


def test_verdicts(tables) -> None:
    verdicts = tables["verdicts"]
    assert isinstance(verdicts, Verdicts)
    assert verdicts.columns[-4:] == DECISION
    assert np.array_equal(verdicts.is_in_distribution, verdicts.odin >= verdicts.threshold)
    assert ((0 <= verdicts.percentile) & (verdicts.percentile <= 100)).all()
    assert ((0 < verdicts.p_value) & (verdicts.p_value <= 1)).all()


def test_errors_are_kept(tables) -> None:
    verdicts = tables["errors"]
    assert verdicts.file == ["c.png", "ä b.png"]
    assert verdicts.errors[0] is None
    assert "ä b.png" in verdicts.errors[1]
    assert np.isnan(verdicts.odin).tolist() == [False, True]
    assert np.isnan(verdicts.p_value).tolist() == [False, True]
    assert verdicts.prediction[1] == -1
    assert not verdicts.is_in_distribution[1]
    assert all(tables["only errors"].errors)
    assert "error" not in tables["scores"].columns


def test_errors_of_some_batches_only(detector, near) -> None:
    fine, damaged = near[:2] / 255, np.full((2, 1, 8, 8), 7.0)
    for batches in ([fine, damaged], [damaged, fine]):
        scores = detector.score(iter(batches), errors="keep")
        assert [error is None for error in scores.errors] == [batch is fine for batch in batches for _ in range(2)]
        assert np.isfinite(scores.odin).sum() == 2


def test_names_are_counted_through(detector, near, tmp_path) -> None:
    numbered = [f"{i:05}" for i in range(6)]
    assert detector.score(near[:6]).file == numbered
    assert detector.score(iter([near[:4], near[4:6]])).file == numbered
    assert detector.score(iter([near[:4], near[0]])).file == numbered[:5]


WRONG = {
    "column": (KeyError, lambda scores: scores["nothing"], "odin"),
    "score": (AttributeError, lambda scores: scores.nothing, "odin"),
    "private": (AttributeError, lambda scores: scores._nothing, "_nothing"),
    "change": (AttributeError, lambda scores: setattr(scores, "odin", 3), "cannot be changed"),
    "no verdicts": (AttributeError, lambda scores: scores.is_in_distribution, "is_in_distribution"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_names(wrong, tables) -> None:
    error, use, message = WRONG[wrong]
    with pytest.raises(error, match=message):
        use(tables["scores"])


def test_names_with_hyphens(near) -> None:
    scores = odin_ood.Detector.from_onnx(multilayer(4), threads=1).score(near[:3, 0, 0, :4] / 255)
    hyphens = [name for name in scores.names if "-" in name]
    assert "max-logit" in hyphens
    assert all(getattr(scores, name.replace("-", "_")) is scores[name] for name in hyphens)


def test_columns_are_not_the_callers(tables) -> None:
    scores = tables["scores"]
    scores.to_dict().clear()
    scores.file.clear()
    assert len(scores) == N


def test_a_stream_of_what_has_no_arrow_type() -> None:
    with pytest.raises(OdinValueError, match="no Arrow type"):
        Scores({"file": ["a"], "odin": np.zeros(1, np.float32)}).__arrow_c_stream__()
