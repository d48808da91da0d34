"""Ray Data: jobs on a local cluster of several nodes, of which one is killed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_stream import ADDED, SCORES, png, same

import odin_ood

os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
if os.environ.get("ODIN_REQUIRE"):
    import ray
else:
    ray = pytest.importorskip("ray")

import odin_ood.ray as jobs
import pyarrow
import pyarrow.parquet
from ray.cluster_utils import Cluster

DEMO = Path(__file__).resolve().parents[3] / "demo"
N = 96


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    # A node counts as dead after seconds instead of half a minute.
    quick = {"health_check_period_ms": 500, "health_check_failure_threshold": 2}
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": quick}
    nodes = Cluster(initialize_head=True, head_node_args=head)
    # Before there are others: the driver must not be on a node that is killed.
    ray.init(address=nodes.address, log_to_driver=False)
    nodes.add_node(num_cpus=1)
    nodes.mortal = nodes.add_node(num_cpus=1)
    nodes.wait_for_nodes()
    yield nodes
    ray.shutdown()
    nodes.shutdown()


@pytest.fixture(scope="module")
def detector() -> Any:
    return odin_ood.load(DEMO / "detector.toml", threads=1)


@pytest.fixture(scope="module")
def photos(near: np.ndarray, tmp_path_factory: Any) -> Path:
    folder: Path = tmp_path_factory.mktemp("photos")
    for i, image in enumerate(near[:N]):
        (folder / f"{i:03}.png").write_bytes(png(image[0]))
    (folder / "damaged.png").write_bytes(b"no image")
    return folder


def rows_of(output: Path, by: str) -> dict[str, np.ndarray]:
    """All rows of an output in the order of their ids."""
    paths = sorted(output.glob("*.parquet"))
    table = pyarrow.concat_tables([pyarrow.parquet.read_table(path) for path in paths])
    table = table.sort_by(by)
    return {name: table[name].to_numpy() for name in table.column_names}


def slow(seconds: float, fails_at: str | None = None) -> type:
    """A worker that takes its time; it goes to the nodes by value."""
    base = jobs._Worker

    class Slow(base):  # type: ignore[misc, valid-type]
        def write(self, batch: Any) -> Any:
            time.sleep(seconds)
            if fails_at in batch[self.id_column].to_pylist():
                raise RuntimeError("the power went off")
            return super().write(batch)

    return Slow


def test_every_image_is_there_once_though_a_node_was_killed(
    cluster: Any, detector: Any, photos: Path, near: np.ndarray, tmp_path: Path, monkeypatch: Any
) -> None:
    output, done = tmp_path / "scores", []
    monkeypatch.setattr(jobs, "_Worker", slow(0.25))
    job = threading.Thread(
        target=lambda: done.append(jobs.score(photos, DEMO / "detector.toml", output, rows_per_file=4))
    )
    job.start()
    while job.is_alive() and len(list(output.glob("part-*"))) < 4:
        time.sleep(0.05)
    cluster.remove_node(cluster.mortal, allow_graceful=False)
    assert 4 <= len(list(output.glob("part-*"))) < (N + 1) // 4, "it was not killed in the middle"
    cluster.mortal = cluster.add_node(num_cpus=1)
    job.join()
    assert done == [jobs.Job(images=N + 1, scored=N + 1, skipped=0, errors=1)]
    rows = rows_of(output, "path")
    assert list(rows) == ["path", *ADDED, "detector"]
    assert rows["path"].tolist() == sorted(str(path) for path in photos.iterdir())
    alone = {name: values[:N] for name, values in rows.items()}
    assert same(alone, detector.judge(near[:N]), slice(N))
    assert rows["error"][:N].tolist() == [None] * N and np.isnan(rows["odin"][N])
    assert rows["error"][N].startswith(f"{photos}/damaged.png") and rows["prediction"][N] == -1
    assert set(rows["detector"]) == {detector.checksum[:16]}
    # Once more there is nothing to do.
    again = jobs.score(str(photos / "*.png"), detector, output)
    assert again == jobs.Job(images=N + 1, scored=0, skipped=N + 1, errors=0)


def test_a_job_that_broke_off_goes_on_where_it_was(
    cluster: Any, detector: Any, near: np.ndarray, tmp_path: Path, monkeypatch: Any
) -> None:
    table = pyarrow.table(
        {
            "id": range(N),
            "image": [png(image[0]) for image in near[:N]],
            "taken": [f"day {i}" for i in range(N)],
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "images.parquet", row_group_size=16)
    output = tmp_path / "scores"

    def score() -> Any:
        return jobs.score(
            tmp_path / "images.parquet", detector, output, "id", columns=["taken"], rows_per_file=8
        )

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "_Worker", slow(0, fails_at=N - 1))
        with pytest.raises(Exception, match="the power went off"):
            score()
    before = {path: path.stat().st_mtime_ns for path in output.glob("part-*")}
    assert 0 < len(before) < N // 8
    (output / ".part-left.parquet.0123").write_bytes(b"PAR1 half")
    there = sum(pyarrow.parquet.read_metadata(path).num_rows for path in before)
    assert score() == jobs.Job(images=N, scored=N - there, skipped=there, errors=0)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert not list(output.glob(".part-*"))
    rows = rows_of(output, "id")
    assert list(rows) == ["id", "taken", *ADDED, "detector"]
    assert rows["id"].tolist() == list(range(N)) and rows["taken"].tolist() == table["taken"].to_pylist()
    assert same(rows, detector.judge(near[:N]), slice(N))


def test_a_worker_keeps_to_its_cpus(cluster: Any, detector: Any, near: np.ndarray) -> None:
    scorer = odin_ood.BatchScorer.for_workers(odin_ood.load(DEMO / "detector.toml", threads=7))

    def threads(scorer: Any) -> int:
        return int(scorer.detector.threads)

    assert ray.get(ray.remote(num_cpus=1)(threads).remote(scorer)) == 1


def test_the_scorer_is_a_class_for_map_batches(
    cluster: Any, detector: Any, near: np.ndarray, tmp_path: Path
) -> None:
    """As docs/many_machines.md has it, with as many actors at most as there are CPUs."""
    table = pyarrow.table({"id": range(N), "image": [png(image[0]) for image in near[: N - 1]] + [b"no image"]})
    pyarrow.parquet.write_table(table, tmp_path / "images.parquet", row_group_size=16)
    scored = ray.data.read_parquet(str(tmp_path / "images.parquet")).map_batches(
        odin_ood.BatchScorer,
        fn_constructor_args=(str(DEMO / "detector.toml"),),
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=2),
        num_cpus=1,
    )
    rows = scored.to_pandas().sort_values("id")
    assert list(rows.columns) == ["id", *ADDED]
    assert rows["id"].tolist() == list(range(N))
    columns = {name: rows[name].to_numpy() for name in rows.columns}
    alone = {name: values[: N - 1] for name, values in columns.items()}
    assert same(alone, detector.judge(near[: N - 1]), slice(N - 1))
    assert columns["prediction"][-1] == -1 and "image" in columns["error"][-1]


# What follows needs no cluster.


def write(output: Path, ids: list[Any], detector: str = "a" * 64, **columns: Any) -> None:
    folder = jobs._Folder.of(output)
    folder.begin(detector, "id", resume=True)
    table = pyarrow.table({"id": ids, **columns})
    name = f"part-{len(folder.parts())}.parquet"
    folder.write(name, table.replace_schema_metadata({"odin.detector": detector}))


def test_an_output_of_another_detector_is_refused(detector: Any, photos: Path, tmp_path: Path) -> None:
    write(tmp_path, [1, 2])
    with pytest.raises(odin_ood.OdinValueError, match=r"another detector \(aaaaaaaaaaaaaaaa instead of"):
        jobs._Folder.of(tmp_path).begin(detector.checksum, "id", resume=True)


def test_an_output_that_is_there_is_refused_without_resume(tmp_path: Path) -> None:
    write(tmp_path, [1, 2])
    with pytest.raises(odin_ood.OdinValueError, match="resume=True goes on"):
        jobs._Folder.of(tmp_path).begin("a" * 64, "id", resume=False)


@pytest.mark.parametrize("ids", [[3, 1], [4, 4]])
def test_an_id_that_is_there_twice_is_found(ids: list[int], tmp_path: Path) -> None:
    write(tmp_path, [1, 2])
    write(tmp_path, ids)
    with pytest.raises(odin_ood.OdinValueError, match="a value of 'id' is in .* twice"):
        jobs._Folder.of(tmp_path).end("a" * 64, "id", 4)


def test_missing_rows_are_found(tmp_path: Path) -> None:
    write(tmp_path, [1, 2])
    with pytest.raises(odin_ood.OdinRuntimeError, match="2 images instead of 3"):
        jobs._Folder.of(tmp_path).end("a" * 64, "id", 3)


def test_a_damaged_file_of_an_output_is_named(tmp_path: Path) -> None:
    (tmp_path / "part-0.parquet").write_bytes(b"PAR1 damaged")
    with pytest.raises(odin_ood.OdinOSError, match="part-0.parquet cannot be read as Parquet"):
        jobs._Folder.of(tmp_path).begin("a" * 64, "id", resume=True)


def test_a_file_that_cannot_be_written_leaves_nothing_under_its_name(tmp_path: Path, monkeypatch: Any) -> None:
    def full(path: str) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(jobs, "_sync", full)
    with pytest.raises(OSError, match="no space left"):
        write(tmp_path, [1, 2])
    assert jobs._Folder.of(tmp_path).parts() == []


def test_digests_find_what_is_done(tmp_path: Path) -> None:
    ids = pyarrow.array([f"{i}" for i in range(1000)])
    digests = jobs._digests(ids)
    done = np.sort(digests[::3])
    assert jobs._are(digests, done).tolist() == [i % 3 == 0 for i in range(1000)]
    assert not jobs._are(digests, done[:0]).any()
    assert (jobs._digests(pyarrow.array(range(1000))) == digests).all()
    path = str(tmp_path / "ids.parquet")
    pyarrow.parquet.write_table(pyarrow.table({"id": ids}), path, row_group_size=300)
    assert jobs.row_groups([path]) == [(path, 0, 300), (path, 1, 300), (path, 2, 300), (path, 3, 100)]
    left = [list(jobs._Parquet(("id",), 100, done).batches(path, group)) for group in range(4)]
    assert [sum(map(len, batches)) for batches in left] == [200, 200, 200, 66]
    with pytest.raises(odin_ood.OdinValueError, match="has no id"):
        jobs._digests(pyarrow.array(["a", None]))


def test_inputs(photos: Path, tmp_path: Path) -> None:
    every = sorted(str(path) for path in photos.iterdir())
    assert jobs.listed([photos]) == (every, True)
    assert jobs.listed([photos / "0*.png", photos]) == ([*every[:N], every[N]], True)
    assert jobs.listed([f"file://{photos}"]) == ([f"file://{path}" for path in every], True)
    contents = jobs.fetched([f"file://{every[0]}", "file:///none.png", None, every[1]])
    assert contents[0] == Path(every[0]).read_bytes() and contents[2:] == [None, every[1]]
    assert str(contents[1]).startswith("cannot open file:///none.png")
    (tmp_path / "a.parquet").touch()
    assert jobs.listed([tmp_path]) == ([str(tmp_path / "a.parquet")], False)
    with pytest.raises(odin_ood.OdinValueError, match="image files and Parquet files"):
        jobs.listed([photos, tmp_path])
    with pytest.raises(odin_ood.OdinOSError, match="is not there"):
        jobs.listed([tmp_path / "none"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(odin_ood.OdinValueError, match="there is no image file"):
        jobs.listed([tmp_path / "empty"])


def test_two_outputs_are_evaluated(tmp_path: Path) -> None:
    write(tmp_path / "in", [1, 2], odin=[0.9, 0.8])
    write(tmp_path / "in", [3, 4], odin=[0.7, 0.6])
    write(tmp_path / "out", [1, 2, 3, 4], odin=[0.65, 0.5, 0.4, float("nan")])
    with pytest.warns(UserWarning, match="1 image of .* has no scores"):
        measured = jobs.evaluate(tmp_path / "in", tmp_path / "out")
    assert measured == odin_ood.metrics.evaluate([0.9, 0.8, 0.7, 0.6], [0.65, 0.5, 0.4])
    sketch = odin_ood.metrics.HistogramSketch([0.9, 0.8, 0.7, 0.6], [0.65, 0.5, 0.4])
    with pytest.warns(UserWarning, match="1 image of .* has no scores"):
        assert jobs.sketch(tmp_path / "in", tmp_path / "out") == sketch
    with pytest.warns(UserWarning, match="1 image of .* has no scores"):
        assert jobs.evaluate(tmp_path / "in", tmp_path / "out", exact=False) == measured
    with pytest.raises(odin_ood.OdinValueError, match="exact=True"):
        jobs.evaluate(tmp_path / "in", tmp_path / "out", exact=False, ci=100)
    write(tmp_path / "other", [1], detector="b" * 64, odin=[0.5])
    for exact in (True, False):
        with pytest.raises(odin_ood.OdinValueError, match="different detectors"):
            jobs.evaluate(tmp_path / "in", tmp_path / "other", exact=exact)
    with pytest.raises(odin_ood.OdinValueError, match="has no column 'msp'"):
        jobs.evaluate(tmp_path / "in", tmp_path / "other", "msp")
    assert SCORES[2] == "odin"


@pytest.fixture(scope="module")
def plain() -> Any:
    return odin_ood.Detector.from_checkpoint(DEMO / "model.safetensors", threads=1)


@pytest.fixture(scope="module")
def sorted_photos(known: np.ndarray, plain: Any, tmp_path_factory: Any) -> Path:
    """Images in a folder for each class; some are not of the class that the network predicts."""
    folder: Path = tmp_path_factory.mktemp("sorted")
    labels = plain.score(known[:N]).prediction
    labels[::11] = (labels[::11] + 1) % 6
    for i, label in enumerate(labels):
        (folder / str(label)).mkdir(exist_ok=True)
        (folder / str(label) / f"{i:03}.png").write_bytes(png(known[i][0]))
    return folder


FITTED = ("knn", "vim", "react", "mahalanobis", "kl-matching", "temperature-scaling")


def test_scores_are_fitted_where_the_images_are(
    cluster: Any, plain: Any, near: np.ndarray, sorted_photos: Path, tmp_path: Path
) -> None:
    folder = sorted_photos
    files = sorted(str(path) for path in folder.rglob("*.png"))
    labels = [int(Path(file).parent.name) for file in files]
    alone = plain.fit(files, labels, scores=FITTED, knn_k=5).score(near[:50])
    fitted = jobs.fit(folder, plain, FITTED, labels="folder", images_per_task=20, knn_k=5)
    table = {"image": [Path(f).read_bytes() for f in files], "label": labels}
    pyarrow.parquet.write_table(pyarrow.table(table), tmp_path / "train.parquet", row_group_size=16)
    of_table = jobs.fit(
        tmp_path / "train.parquet", plain, FITTED, label_column="label", images_per_task=40, knn_k=5
    )
    for scored in (fitted.score(near[:50]), of_table.score(near[:50])):
        assert scored.names[:2] == ("msp", "odin") and set(FITTED) < set(scored.names)
        for name in FITTED:
            distance = np.abs(scored[name] - alone[name])
            if name in ("mahalanobis", "kl-matching"):
                assert (distance <= 2e-6 * np.maximum(np.abs(alone[name]), 1)).all(), name
            else:
                assert not distance.any(), name
    summary = jobs.summarize(folder, plain, ["nci"], images_per_task=20)
    assert (summary.images, summary.has_labels, summary.scores) == (N, False, ("nci",))
    again = jobs.summarize(folder, plain, ["nci"], images_per_task=20)
    assert again.to_bytes() == summary.to_bytes()


def test_images_that_cannot_be_read_are_named_or_left_out(
    cluster: Any, plain: Any, photos: Path
) -> None:
    with pytest.raises(odin_ood.OdinValueError, match=r"damaged\.png"):
        jobs.summarize(photos, plain, ["nci"])
    with pytest.warns(UserWarning, match=f"1 of {N + 1} images cannot be read"):
        assert jobs.summarize(photos, plain, ["nci"], errors="skip").images == N
    with pytest.raises(odin_ood.OdinValueError, match="none of 1 image can be read"):
        jobs.summarize(photos / "damaged.png", plain, ["nci"], errors="skip")


def test_labels_are_classes_of_the_network(cluster: Any, plain: Any, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(odin_ood.OdinValueError, match="'photos0' is no class of the network"):
        jobs.summarize(photos, plain, ["nci"], labels="folder")
    with pytest.raises(odin_ood.OdinValueError, match="labels='folder' takes classes from folders"):
        jobs.summarize(photos, plain, ["nci"], label_column="label")
    table = pyarrow.table({"image": [b"damaged", b"damaged"], "label": [0, None], "other": [0, 6]})
    pyarrow.parquet.write_table(table, tmp_path / "train.parquet")
    for column, message in [
        ("label", "an image has no label in the column 'label'"),
        ("other", "6 is no class of the network"),
        ("none", "has no column 'none'; there are image, label, other"),
    ]:
        with pytest.raises(odin_ood.OdinValueError, match=message):
            jobs.summarize(tmp_path / "train.parquet", plain, ["nci"], label_column=column)
    with pytest.raises(odin_ood.OdinValueError, match="give the label_column"):
        jobs.summarize(tmp_path / "train.parquet", plain, ["nci"], labels="folder")
