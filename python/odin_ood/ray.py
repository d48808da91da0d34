"""Scoring on many machines with Ray Data.

>>> import odin_ood.ray
>>> done = odin_ood.ray.score("photos/", "detector.toml", "scores/")  # doctest: +SKIP
>>> done.images, done.errors  # doctest: +SKIP
(1000, 0)

The output is a folder of Parquet files, each written whole or not at all by the worker that scored its
rows, under a name made of the ids in it: a worker that is killed leaves nothing under such a name, and
one that takes over writes the same file. The schema of each file names the detector.
"""

from __future__ import annotations

import functools
import hashlib
import io
import operator
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow
import pyarrow.fs
import pyarrow.parquet
import ray
import ray.data
from numpy.typing import NDArray

from . import metrics
from ._ray_fit import fit, summarize
from ._ray_inputs import Path, cpus, fetched, listed, located, opened, row_groups, spread
from ._warnings import counted_images, warn
from .detector import CalibratedDetector, load
from .errors import OdinOSError, OdinRuntimeError, OdinValueError
from .stream import BatchScorer, images_of

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

__all__ = ["Job", "evaluate", "fit", "score", "sketch", "summarize"]

Make: TypeAlias = Callable[[Any], Any]
"""What is made of a column of a file, where the file is read."""
Digests: TypeAlias = NDArray[np.bytes_]
"""Of ids, 16 bytes each, ``(N,)``: what a node holds of those that are done."""

_DETECTOR = b"odin.detector"
"""The entry of a schema's metadata that names the detector."""

_OBJECT_STORES = ("s3", "gcs", "abfs")
"""Where an object appears when it is complete, and renaming is copying."""


@dataclass(frozen=True)
class Job:
    """What :func:`score` did."""

    images: int
    """How many images the output has."""
    scored: int
    """How many of those this job scored, those with an error among them."""
    skipped: int
    """How many images were in the output before."""
    errors: int
    """How many images of this job have an error instead of scores."""


def score(
    paths: Path | Sequence[Path],
    detector: Path | CalibratedDetector,
    output: Path,
    id_column: str = "path",
    resume: bool = True,
    *,
    image_column: str = "image",
    columns: Sequence[str] = (),
    num_cpus: int = 1,
    workers: int | None = None,
    rows_per_file: int = 1024,
) -> Job:
    """Scores images on the machines of a Ray cluster, and writes Parquet files.

    Images are decoded by this package, as in one process: every row has the bits of
    :meth:`CalibratedDetector.judge`. A job that was interrupted goes on where it was: images that are in
    the output are not scored again, and at the end each is there once. Only one job may write into an
    output at a time.

    Args:
        paths: Folders, files or globs (local, or seen by all machines), or URIs of files and folders
            such as ``s3://bucket/photos``; either of image files or of Parquet files.
        detector: A ``detector.toml``, or a detector. Its model goes to the workers with it.
        output: A folder or URI that all machines see.
        id_column: Of Parquet files: the column that tells images apart. Of image files: the name of the
            column for their paths (absolute, as the workers open them).
        resume: Whether to go on with an output that is there, which is refused otherwise.
        image_column: Of Parquet files: the column of encoded images, or of paths.
        columns: Of Parquet files: others that the output shall have.
        num_cpus: Of each worker, which has as many threads.
        workers: At most so many; as many as the CPUs of the cluster allow unless given.
        rows_per_file: How many rows a worker scores at once, and a file of the output has.

    Returns:
        How many images were scored, skipped, and have errors. The files have ``id_column``,
        ``columns``, the columns of :attr:`BatchScorer.columns`, and ``detector``.

    Raises:
        OdinOSError: The detector or an input is not there.
        OdinValueError: There is no image; the output is of another detector, or is there though
            ``resume`` is False; an id is missing, or is there twice.
        OdinRuntimeError: Rows are missing in the output after all were scored.

    >>> odin_ood.ray.score("photos/*.jpg", calibrated, "scores/", num_cpus=4)  # doctest: +SKIP
    Job(images=1000, scored=1000, skipped=0, errors=0)
    """
    calibrated = detector if isinstance(detector, CalibratedDetector) else load(detector)
    folder = _Folder.of(output)
    done = folder.begin(calibrated.checksum, id_column, resume)
    files, are_images = listed([paths] if isinstance(paths, (str, os.PathLike)) else paths)
    workers = workers or max(1, cpus() // num_cpus)
    rows: _Parquet | None = None
    if are_images:
        image_column = id_column
        left = [files[i] for i in np.flatnonzero(~_are(_digests(pyarrow.array(files)), done))]
        items, n = [{id_column: file} for file in left], len(files)
        batch_size = _batch(len(left), rows_per_file, workers)
    else:
        rows = _Parquet((id_column, image_column, *columns), rows_per_file, ray.put(done))
        groups = spread(row_groups, files)
        items, n = [{"file": f, "group": i} for f, i, _ in groups], sum(size for *_, size in groups)
        batch_size = 1
    scorer = BatchScorer.for_workers(calibrated, image_column, keep=[id_column, *columns])
    written: list[dict[str, Any]] = []
    if items:
        data = ray.data.from_items(items, override_num_blocks=-(-len(items) // batch_size))
        written = data.map_batches(
            _Worker,
            fn_constructor_args=(ray.put(scorer), folder.uri, calibrated.checksum, id_column, rows),
            batch_format="pyarrow",
            batch_size=batch_size,
            num_cpus=num_cpus,
            compute=ray.data.ActorPoolStrategy(min_size=1, initial_size=workers, max_size=workers),
        ).take_all()
    scored, errors = (sum(row[name] for row in written) for name in ("rows", "errors"))
    images = folder.end(calibrated.checksum, id_column, len(done) + scored)
    return Job(images=images, scored=scored, skipped=n - scored, errors=errors)


def evaluate(
    in_output: Path,
    out_output: Path,
    score: str = "odin",
    *,
    exact: bool = True,
    precision: int = 23,
    **options: Any,
) -> metrics.Metrics:
    """How well scores tell the images of one output of :func:`score` from those of another.

    Images with an error are left out, with a warning that tells how many.

    Args:
        in_output: Of in-distribution images.
        out_output: Of out-of-distribution images.
        score: The name of the score.
        exact: Whether all scores come here, 8 bytes an image; else each worker makes a
            :class:`odin_ood.metrics.HistogramSketch` of its files, and these are merged.
        precision: Of the sketches.
        options: ``ci``, ``seed`` and ``threads`` of :func:`odin_ood.metrics.evaluate`; exact only.

    Raises:
        OdinValueError: The outputs are of different detectors, or there is no such score.

    >>> odin_ood.ray.evaluate("scores/in", "scores/near").auroc  # doctest: +SKIP
    0.95
    """
    if not exact:
        if options:
            raise OdinValueError(f"{', '.join(options)} need all scores: exact=True")
        return sketch(in_output, out_output, score, precision=precision).metrics()
    inside, known = _Folder.of(in_output).scores(score)
    outside, other = _Folder.of(out_output).scores(score)
    _same_detector(in_output, out_output, known, other)
    return metrics.evaluate(inside, outside, **options)


def sketch(
    in_output: Path, out_output: Path, score: str = "odin", *, precision: int = 23
) -> metrics.HistogramSketch:
    """A sketch of the scores of two outputs, made where the files are read and merged exactly.

    Args:
        in_output, out_output, score: As of :func:`evaluate`.
        precision: As of :class:`odin_ood.metrics.HistogramSketch`.

    Returns:
        The sketch that one process makes of all scores; its ``bounds()`` say how exact it is.
    """
    inside, known = _Folder.of(in_output).sketch(score, precision, is_in=True)
    outside, other = _Folder.of(out_output).sketch(score, precision, is_in=False)
    _same_detector(in_output, out_output, known, other)
    return inside + outside


def _same_detector(in_output: Path, out_output: Path, known: str, other: str) -> None:
    if known != other:
        raise OdinValueError(
            f"{in_output} and {out_output} are of different detectors; their scores cannot be compared"
        )


class _Worker:
    """An actor: scores batches of rows and writes each as one file.

    It reads Parquet files itself: a task of Ray that reads would need a CPU, which the actors have.
    """

    def __init__(self, scorer: Any, uri: str, checksum: str, id_column: str, rows: _Parquet | None) -> None:
        # Unpickled here, it has the CPUs of this actor.
        self.scorer: BatchScorer = ray.get(scorer)
        self.folder = _Folder.of(uri)
        self.checksum = checksum
        self.id_column = id_column
        self.rows = rows

    def __call__(self, table: pyarrow.Table) -> dict[str, list[Any]]:
        """Files of the output, of the images in a table of paths or of row groups."""
        written = [self.write(batch) for batch in self.batches(table)]
        names = ("file", "rows", "errors")
        return {name: [row[i] for row in written] for i, name in enumerate(names)}

    def batches(self, table: pyarrow.Table) -> Iterator[pyarrow.RecordBatch]:
        if self.rows is None:
            yield from table.combine_chunks().to_batches()
            return
        for group in table.to_pylist():
            yield from self.rows.batches(group["file"], group["group"])

    def write(self, batch: pyarrow.RecordBatch) -> tuple[str, int, int]:
        """Scores a batch; the file of the output, its rows, and those with an error."""
        digests = _digests(batch.column(self.id_column))
        name = f"part-{hashlib.blake2b(digests.tobytes(), digest_size=16).hexdigest()}.parquet"
        images = fetched(images_of(batch.column(self.scorer.image_column)))
        scored = pyarrow.Table.from_batches([self.scorer.with_scores(batch, images)])
        detector = pyarrow.array([self.checksum[:16]] * len(scored))
        scored = scored.append_column("detector", detector)
        self.folder.write(name, scored.replace_schema_metadata({_DETECTOR: self.checksum}))
        return name, len(scored), len(scored) - scored["error"].null_count


@dataclass(frozen=True)
class _Parquet:
    """How rows of Parquet files are read."""

    columns: tuple[str, ...]
    """Those to read, that of the ids first."""
    rows: int
    """How many at once."""
    done: Any
    """The digests of the ids that are done."""

    def batches(self, file: str, group: int) -> Iterator[pyarrow.RecordBatch]:
        """The rows of a row group that are not done."""
        done = ray.get(self.done) if isinstance(self.done, ray.ObjectRef) else self.done
        with opened(file) as table:
            missing = [name for name in self.columns if name not in table.schema_arrow.names]
            if missing:
                there = ", ".join(table.schema_arrow.names)
                raise OdinValueError(f"{file} has no column {missing[0]!r}; there are {there}")
            columns = list(dict.fromkeys(self.columns))
            for batch in table.iter_batches(self.rows, row_groups=[group], columns=columns):
                left = batch.filter(pyarrow.array(~_are(_digests(batch.column(self.columns[0])), done)))
                if len(left):
                    yield left


@dataclass(frozen=True)
class _Folder:
    """The output of a job."""

    uri: str
    system: FileSystem
    path: str

    @classmethod
    def of(cls, output: Path) -> _Folder:
        return cls(*located(output))

    def begin(self, checksum: str, id_column: str, resume: bool) -> Digests:
        """The images that are done, in the order of their digests."""
        self.system.create_dir(self.path, recursive=True)
        for name in self._names():
            if name.startswith(".part-"):
                # A worker was killed while it wrote.
                self.system.delete_file(f"{self.path}/{name}")
        if self.parts() and not resume:
            raise OdinValueError(
                f"{self.uri} has scores already; resume=True goes on with them, or name another folder"
            )
        return self._ids(checksum, id_column)

    def end(self, checksum: str, id_column: str, expected: int) -> int:
        """Reads back which images are there: each once, and none is missing."""
        ids = self._ids(checksum, id_column)
        if len(ids) != expected:
            raise OdinRuntimeError(
                f"{self.uri} has {counted_images(len(ids))} instead of {expected}; the same call scores those "
                "that are missing"
            )
        return len(ids)

    def write(self, name: str, table: pyarrow.Table) -> None:
        """Writes a file, which appears whole or not at all."""
        buffer = io.BytesIO()
        pyarrow.parquet.write_table(table, buffer, compression="zstd")
        path, part = f"{self.path}/{name}", f"{self.path}/.{name}.{os.urandom(8).hex()}"
        if self.system.type_name in _OBJECT_STORES:
            part = path
        with self.system.open_output_stream(part) as file:
            file.write(buffer.getbuffer())
        if self.system.type_name == "local":
            _sync(part)
        if part != path:
            self.system.move(part, path)

    def parts(self) -> list[str]:
        """The complete files."""
        return [f"{self.path}/{name}" for name in self._names() if name.startswith("part-")]

    def _names(self) -> list[str]:
        selector = pyarrow.fs.FileSelector(self.path, allow_not_found=True)
        return sorted(info.base_name for info in self.system.get_file_info(selector))

    def _ids(self, checksum: str, id_column: str) -> Digests:
        found = self._read(id_column, _digests)
        for detector, _, path in found:
            if detector != checksum:
                raise OdinValueError(
                    f"{path} is of another detector ({detector[:16]} instead of {checksum[:16]}); name "
                    "another folder"
                )
        ids = np.sort(np.concatenate([np.empty(0, "S16"), *(part for _, part, _ in found)]))
        twice = ids[1:][ids[1:] == ids[:-1]]
        if len(twice):
            paths = [path for _, part, path in found if np.isin(part, twice[:1]).any()]
            raise OdinValueError(
                f"a value of {id_column!r} is in {' and '.join(paths)} twice: either it is twice in the "
                "input, or remove one of the files and score once more"
            )
        return ids

    def scores(self, score: str) -> tuple[NDArray[np.float64], str]:
        """All values of a score, and the detector."""
        values, detector = self._of_score(score, _values)
        return np.concatenate(values), detector

    def sketch(self, score: str, precision: int, *, is_in: bool) -> tuple[metrics.HistogramSketch, str]:
        """A sketch of a score's values, and the detector."""
        make = functools.partial(_sketched, precision=precision, is_in=is_in)
        sketches, detector = self._of_score(score, make)
        merged = functools.reduce(operator.add, map(metrics.HistogramSketch.from_bytes, sketches))
        return merged, detector

    def _of_score(self, score: str, make: Make) -> tuple[list[Any], str]:
        """What is made of the values of a score in each file, and the detector."""
        found = self._read(score, make)
        if not found:
            raise OdinValueError(f"{self.uri} has no scores")
        missing = sum(count for _, (_, count), _ in found)
        if missing:
            has = "has" if missing == 1 else "have"
            warn([f"{counted_images(missing)} of {self.uri} {has} no scores"])
        detectors = {detector for detector, _, _ in found}
        if len(detectors) > 1:
            raise OdinValueError(f"{self.uri} is of several detectors")
        return [made for _, (made, _), _ in found], detectors.pop()

    def _read(self, column: str, make: Make) -> list[tuple[str, Any, str]]:
        """The detector, what is made of a column, and the path of each file; read by the workers."""
        return spread(_columns, self.parts(), self.uri, column, make)


def _columns(paths: list[str], uri: str, column: str, make: Make) -> list[tuple[str, Any, str]]:
    return [_column(_Folder.of(uri).system, path, column, make) for path in paths]


def _column(system: FileSystem, path: str, column: str, make: Make) -> tuple[str, Any, str]:
    """The detector of a file of an output, what is made of a column, and the path."""
    try:
        with pyarrow.parquet.ParquetFile(path, filesystem=system) as file:
            detector = (file.schema_arrow.metadata or {}).get(_DETECTOR, b"none").decode()
            if column not in file.schema_arrow.names:
                there = ", ".join(file.schema_arrow.names)
                raise OdinValueError(f"{path} has no column {column!r}; there are {there}")
            values = file.read([column])[column].combine_chunks()
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise OdinOSError(f"{path} cannot be read as Parquet ({error}); remove it") from error
    return detector, make(values), path


def _values(column: pyarrow.Array) -> tuple[NDArray[np.float64], int]:
    """The values of a score, and how many images have none."""
    values = column.to_numpy(zero_copy_only=False)
    missing = np.isnan(values)
    return values[~missing], int(missing.sum())


def _sketched(column: pyarrow.Array, precision: int, is_in: bool) -> tuple[bytes, int]:
    """A sketch of the values of a score, and how many images have none."""
    values, missing = _values(column)
    none = np.empty(0)
    inside, outside = (values, none) if is_in else (none, values)
    return metrics.HistogramSketch(inside, outside, precision).to_bytes(), missing


def _digests(ids: pyarrow.Array) -> Digests:
    """Of ids, in their order: ``(N,)`` of 16 bytes."""
    if ids.null_count:
        raise OdinValueError("an image has no id; fill the column, or name another one")
    texts = (i if isinstance(i, bytes) else str(i).encode() for i in ids.to_pylist())
    joined = b"".join(hashlib.blake2b(text, digest_size=16).digest() for text in texts)
    return np.frombuffer(joined, "S16")


def _are(digests: Digests, done: Digests) -> NDArray[np.bool_]:
    """Which are among those that are done, which are sorted; ``(N,)``."""
    if not len(done):
        return np.zeros(len(digests), np.bool_)
    places = np.minimum(np.searchsorted(done, digests), len(done) - 1)
    return np.asarray(done[places] == digests)


def _batch(n: int, rows: int, workers: int) -> int:
    """How many rows are scored at once, so that each worker has something to do."""
    return max(1, min(rows, -(-n // (4 * workers))))


def _sync(path: str) -> None:
    """Lets a file reach the disk before it gets its name."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
