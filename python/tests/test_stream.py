"""Batches of rows: every kind of image, whatever the others in the batch are."""

from __future__ import annotations

import io
import pickle
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import odin_ood
from odin_ood import stream

SCORES = ("prediction", "msp", "odin", "energy", "percentile", "p_value", "threshold")
ADDED = (*SCORES, "is_in_distribution", "error")
DEMO = Path(__file__).resolve().parents[2] / "demo"


def png(image: np.ndarray) -> bytes:
    """An 8-bit grey PNG, written by nothing that the package could share."""
    height, width = image.shape
    rows = b"".join(b"\0" + image[y].tobytes() for y in range(height))
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0),
        b"IDAT": zlib.compress(rows),
        b"IEND": b"",
    }
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks.items()
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.fixture(scope="module")
def scorer() -> odin_ood.BatchScorer:
    return odin_ood.BatchScorer(DEMO / "detector.toml", threads=1)


@pytest.fixture(scope="module")
def truth(scorer: odin_ood.BatchScorer, near: np.ndarray) -> odin_ood.Verdicts:
    return odin_ood.load(DEMO / "detector.toml", threads=2).judge(near[:12])


def same(columns: dict[str, Any], truth: odin_ood.Verdicts, rows: slice | list[int]) -> bool:
    """Whether scores and decisions are those of one process, bit for bit."""
    names = (*SCORES, "is_in_distribution")
    return all(columns[name].tobytes() == truth[name][rows].tobytes() for name in names)


def objects(items: list[Any]) -> np.ndarray:
    array = np.empty(len(items), object)
    array[:] = items
    return array


FORMS = {
    "array": lambda images, folder: images,
    "one grey plane each": lambda images, folder: images[:, 0],
    "channels last": lambda images, folder: np.ascontiguousarray(images.transpose(0, 2, 3, 1)),
    "floats": lambda images, folder: images / np.float64(255),
    "list of arrays": lambda images, folder: list(images),
    "objects": lambda images, folder: objects(list(images)),
    "encoded": lambda images, folder: [png(image[0]) for image in images],
    "encoded objects": lambda images, folder: objects([png(image[0]) for image in images]),
    "fixed bytes": lambda images, folder: np.array([png(image[0]) + b"\0" for image in images]),
    "mappings": lambda images, folder: [{"bytes": png(i[0]), "path": None} for i in images],
    "paths": lambda images, folder: files(images, folder),
    "path array": lambda images, folder: np.array(files(images, folder)),
    "path objects": lambda images, folder: objects([Path(f) for f in files(images, folder)]),
}


def files(images: np.ndarray, folder: Path) -> list[str]:
    paths = [folder / f"{i}.png" for i in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        path.write_bytes(png(image[0]))
    return [str(path) for path in paths]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [1, 3, 12])
def test_each_kind_of_image_has_the_same_bits_in_batches_of_any_size(
    form: str, size: int, scorer: Any, truth: Any, near: np.ndarray, tmp_path: Path
) -> None:
    images = FORMS[form](near[:12], tmp_path)
    for start in range(0, 12, size):
        rows = slice(start, start + size)
        columns = scorer({"image": images[rows]})
        assert tuple(columns) == ADDED
        assert columns["error"].tolist() == [None] * size
        assert same(columns, truth, rows)


def test_rows_of_all_kinds_do_not_cost_each_other_their_scores(
    scorer: Any, truth: Any, near: np.ndarray, tmp_path: Path
) -> None:
    good = png(near[1, 0])
    paths = files(near[:3], tmp_path)
    mixed = [
        near[0], good, paths[2], None, b"", b"damaged", good[:60], str(tmp_path / "none.png"),
        np.zeros((3, 5), np.uint8), near[9].astype(np.int64), np.full((1, 8, 8), np.nan, np.float32),
        float("nan"), 7, bytearray(good), memoryview(good), near[5, 0].astype(np.float32) / 255,
    ]  # fmt: skip
    columns = scorer({"image": objects(mixed)})
    scored = {0: 0, 1: 1, 2: 2, 13: 1, 14: 1, 15: 5}
    assert [i for i, error in enumerate(columns["error"]) if error is None] == list(scored)
    at = {name: values[list(scored)] for name, values in columns.items()}
    assert same(at, truth, list(scored.values()))
    bad = [i for i in range(len(mixed)) if i not in scored]
    assert (columns["prediction"][bad] == -1).all() and np.isnan(columns["odin"][bad]).all()
    assert not columns["is_in_distribution"][bad].any()
    for i in range(len(mixed)):
        alone = scorer({"image": [mixed[i]]})
        assert alone["error"][0] == columns["error"][i]
        assert all(alone[name].tobytes() == columns[name][i : i + 1].tobytes() for name in SCORES)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (None, "there is no image"),
        (b"", "image is an empty file"),
        (b"damaged", "image is no PNG"),
        ("/none.png", "cannot open /none.png"),
        (np.zeros((3, 5), np.uint8), "image: the image is 3x5"),
        (np.zeros((1, 8, 8), np.int64), "arrays of int64 are no images"),
        (7, "int is no image"),
    ],
)
def test_an_error_says_what_is_wrong_and_nothing_of_the_batch(image: Any, says: str, scorer: Any, near: Any) -> None:
    for images in ([image], [near[0], near[1], image]):
        assert scorer({"image": images})["error"][-1].startswith(says)


def test_a_damaged_row_of_an_array_is_an_error_of_its_own(scorer: Any, truth: Any, near: np.ndarray) -> None:
    images = near[:4].astype(np.float32) / 255
    images[2, 0, 0, 0] = np.nan
    columns = scorer({"image": images})
    assert [error is None for error in columns["error"]] == [True, True, False, True]
    alone = scorer({"image": images[2:3]})
    assert columns["error"][2] == alone["error"][0]


@pytest.mark.parametrize("empty", [[], np.empty((0, 1, 8, 8), np.uint8), np.empty(0, object)])
def test_an_empty_batch_has_all_columns(empty: Any, scorer: Any) -> None:
    columns = scorer({"path": np.empty(0, object), "image": empty})
    whole = scorer({"path": ["a"], "image": [None]})
    assert {name: np.asarray(v).shape for name, v in columns.items()} == dict.fromkeys(whole, (0,))
    assert all(columns[name].dtype == whole[name].dtype for name in ADDED)


def test_what_is_kept(scorer: Any, near: np.ndarray) -> None:
    batch = {"id": [7], "image": near[:1], "note": ["x"]}

    def names(keep: Any) -> set[str]:
        return set(odin_ood.BatchScorer(scorer.detector, keep=keep)(batch)) - set(ADDED)

    assert names(True) == {"id", "note"}
    assert names(False) == set()
    assert names(["note"]) == {"note"}
    assert names(["image", "id"]) == {"image", "id"}


@pytest.mark.parametrize(
    ("batch", "says"),
    [
        ({"image": [None], "odin": [1]}, "the column 'odin' is in the input already; rename it"),
        ({"photo": [None]}, "there is no column 'image'; there are photo"),
    ],
)
def test_columns_that_do_not_fit_are_refused(batch: dict[str, Any], says: str, scorer: Any) -> None:
    with pytest.raises(odin_ood.OdinValueError, match=says):
        scorer(batch)
    pyarrow = pytest.importorskip("pyarrow")
    with pytest.raises(odin_ood.OdinValueError, match=says):
        scorer.record_batch(pyarrow.record_batch(batch))


def test_arrow_has_the_same_bits_and_one_schema(scorer: Any, truth: Any, near: np.ndarray) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    encoded = [png(image[0]) for image in near[:4]]
    columns = {
        "binary": pyarrow.array([*encoded, None]),
        "large binary": pyarrow.array([*encoded, None], pyarrow.large_binary()),
        "view": pyarrow.array([*encoded, None], pyarrow.binary_view()),
        "lists": pyarrow.array(
            [*near[:4, 0].tolist(), None], pyarrow.list_(pyarrow.list_(pyarrow.uint8()))
        ),
        "ragged": pyarrow.array(
            [*near[:4, 0].tolist(), [[1, 2], [3]]], pyarrow.list_(pyarrow.list_(pyarrow.uint8()))
        ),
        "structs": pyarrow.array([*({"bytes": data, "path": "x"} for data in encoded), None]),
    }
    for name, images in columns.items():
        ids = pyarrow.array(range(5), pyarrow.int32())
        rows = scorer.record_batch(pyarrow.record_batch({"id": ids, "image": images}))
        assert rows.schema.remove(0) == scorer.schema, name
        assert rows.column("id").equals(ids)
        assert rows["error"].null_count == 4, name
        got = {k: rows[k].to_numpy(zero_copy_only=False)[:4] for k in (*SCORES, "is_in_distribution")}
        assert same(got, truth, slice(0, 4)), name
        empty = pyarrow.record_batch({"id": ids[:0], "image": images[:0]})
        assert next(scorer.record_batches([empty])).schema == rows.schema
    tensors = pyarrow.FixedShapeTensorArray.from_numpy_ndarray(near[:4])
    rows = scorer.record_batch(pyarrow.record_batch({"image": tensors}))
    assert same({k: rows[k].to_numpy(zero_copy_only=False) for k in (*SCORES, "is_in_distribution")}, truth, slice(4))


def test_a_detector_without_thresholds_gives_scores_alone(detector: Any, near: np.ndarray) -> None:
    scorer = odin_ood.BatchScorer(detector)
    columns = scorer({"image": [near[0], None]})
    assert tuple(columns) == scorer.columns == ("prediction", *detector.score_names, "error")
    assert columns["odin"][0] == detector.score(near[:1]).odin[0] and np.isnan(columns["odin"][1])


def test_pil_images(scorer: Any, truth: Any, near: np.ndarray) -> None:
    pil = pytest.importorskip("PIL.Image")
    images = [pil.open(io.BytesIO(png(image[0]))) for image in near[:3]]
    assert same(scorer({"image": images}), truth, slice(3))


def test_scorers_of_one_process_share_a_model(scorer: Any, truth: Any, near: np.ndarray) -> None:
    data = pickle.dumps(odin_ood.BatchScorer(scorer.detector, keep=False, layout="NCHW"))
    one, two = pickle.loads(data), pickle.loads(data)
    assert one.detector is two.detector
    assert one.detector.threads == 1 and one.keep is False and one._layout == "NCHW"
    assert same(two({"image": near[:12]}), truth, slice(12))
    more = pickle.loads(pickle.dumps(odin_ood.BatchScorer(scorer.detector, threads=2)))
    assert more.detector.threads == 2 and more.detector is not one.detector


def test_a_detector_that_brings_its_model_needs_no_file(tmp_path: Path, truth: Any, near: np.ndarray) -> None:
    for name in ("detector.toml", "model.safetensors"):
        (tmp_path / name).write_bytes((DEMO / name).read_bytes())
    loaded = odin_ood.load(tmp_path / "detector.toml", model=tmp_path / "model.safetensors")
    brought = stream.portable(loaded)
    data = pickle.dumps(odin_ood.BatchScorer(brought, threads=1))
    for path in tmp_path.iterdir():
        path.unlink()
    scorer = pickle.loads(data)
    assert scorer.detector.checksum == loaded.checksum
    assert same(scorer({"image": near[:12]}), truth, slice(12))


@pytest.mark.parametrize("threads", [0, -1])
def test_threads_below_one_are_refused(threads: int, scorer: Any) -> None:
    for given in (scorer.detector, DEMO / "detector.toml"):
        with pytest.raises(odin_ood.OdinValueError, match="threads must be at least 1"):
            odin_ood.BatchScorer(given, threads=threads)
