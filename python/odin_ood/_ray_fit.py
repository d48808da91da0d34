"""Fitting of scores to images on the machines of a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import pyarrow
import ray
import ray.exceptions

from . import _native
from ._images import Source
from ._numbers import whole_number
from ._ray_inputs import Path, cpus, fetched, listed, opened, row_groups, spread
from ._warnings import counted_images, warn
from .detector import Detector
from .errors import OdinError, OdinValueError
from .fitting import FitSummary
from .stream import BatchScorer, images_of

Labels: TypeAlias = Literal["folder"] | None
Errors: TypeAlias = Literal["raise", "skip"]
Row: TypeAlias = tuple[Any, "int | None"]
"""An image and its class."""

_ROWS = 512
"""How many rows of a Parquet file are in memory at once."""


def fit(
    paths: Path | Sequence[Path],
    detector: Detector,
    scores: Sequence[str] | None = None,
    *,
    labels: Labels = None,
    image_column: str = "image",
    label_column: str | None = None,
    errors: Errors = "raise",
    num_cpus: int = 1,
    images_per_task: int = 1024,
    **parameters: Any,
) -> Detector:
    """Fits scores to training images on the machines of a Ray cluster, as :meth:`Detector.fit`.

    Args:
        paths: As of :func:`summarize`, like what follows.
        detector: Its network goes to the workers with it.
        scores: The names of those to fit; all that fit the network unless given.
        parameters: As of :meth:`Detector.fit`, such as ``knn_k=200``.

    Returns:
        A detector that computes them, too.

    Raises:
        OdinOSError: An input is not there.
        OdinValueError: As of :func:`summarize`, and where the images do not determine what is fitted.

    >>> odin_ood.ray.fit("train/", detector, ["knn", "vim"], num_cpus=4).score_names  # doctest: +SKIP
    ('msp', 'odin', 'knn', 'vim', ...)
    """
    summary = summarize(
        paths,
        detector,
        scores,
        labels=labels,
        image_column=image_column,
        label_column=label_column,
        errors=errors,
        num_cpus=num_cpus,
        images_per_task=images_per_task,
        **parameters,
    )
    return detector.fit_summary(summary, scores=scores, **parameters)


def summarize(
    paths: Path | Sequence[Path],
    detector: Detector,
    scores: Sequence[str] | None = None,
    *,
    labels: Labels = None,
    image_column: str = "image",
    label_column: str | None = None,
    errors: Errors = "raise",
    num_cpus: int = 1,
    images_per_task: int = 1024,
    **parameters: Any,
) -> FitSummary:
    """What scores are fitted from, of images on the machines of a Ray cluster.

    Each task makes the summary of its images where it runs, and they are merged here in the order of the
    images: the same call gives the same bits, however many machines there are. A task whose worker dies is
    run again; one that is run twice counts once.

    Args:
        paths: Folders, files or globs (local, or seen by all machines), or URIs of files and folders
            such as ``s3://bucket/train``; either of image files or of Parquet files.
        detector: A detector of the network.
        scores: As of :meth:`Detector.summarize`.
        labels: Of image files: ``"folder"`` takes the name of the folder that each lies in for its
            class. Of Parquet files see ``label_column``. Predicted classes stand in for labels unless given.
        image_column: Of Parquet files: the column of encoded images, or of paths.
        label_column: Of Parquet files: the column of the classes, as numbers from 0 or by name.
        errors: ``"skip"`` leaves images out that cannot be read, with a warning that tells how many.
        num_cpus: Of each task, which has as many threads.
        images_per_task: How many images a task has, or a little more where row groups of Parquet files end.
            What comes here is a summary for each task, whose size :class:`FitSummary` states.
        parameters: As of :meth:`Detector.summarize`.

    Raises:
        OdinOSError: An input is not there.
        OdinValueError: There is no image; an image cannot be read, or has not the shape that the network
            takes; a class is none of the network's.

    >>> odin_ood.ray.summarize("train/", detector, ["vim"], labels="folder")  # doctest: +SKIP
    <FitSummary of 50000 images with labels for vim>
    """
    if errors not in ("raise", "skip"):
        raise OdinValueError(f"errors is 'raise' or 'skip', not {errors!r}")
    if labels not in (None, "folder"):
        raise OdinValueError(f"labels is 'folder' or None, not {labels!r}")
    size = whole_number("images_per_task", images_per_task, 1)
    files, are_images = listed([paths] if isinstance(paths, (str, os.PathLike)) else paths)
    if are_images and label_column is not None:
        raise OdinValueError("image files have no columns: labels='folder' takes classes from folders")
    if not are_images and labels is not None:
        raise OdinValueError("Parquet files have no folders of classes: give the label_column")
    cpus()  # Ray is started or joined.
    tasks, count = _of_files(files, labels, detector, size) if are_images else _of_tables(files, size)
    scorer = BatchScorer.for_workers(detector, image_column)
    names = None if scores is None else list(scores)
    work = ray.put(_Work(scorer, names, parameters, label_column, errors))
    remote = ray.remote(num_cpus=num_cpus)(_summary)
    summary = FitSummary._joined(_received([remote.remote(work, task) for task in tasks]))
    if summary is None or not summary.images:
        raise OdinValueError(f"none of {counted_images(count)} can be read")
    if summary.images < count:
        skipped = f"{count - summary.images} of {counted_images(count)} cannot be read; left out"
        warn([skipped])
    return summary


def _received(parts: list[Any]) -> Iterator[_native.FitSummary]:
    """What tasks give, in their order, but for those of which no image could be read."""
    while parts:
        # What was given on is let go.
        data = _result(parts.pop(0))
        if data:
            yield _native.FitSummary.from_bytes(data)


def _result(part: Any) -> bytes:
    try:
        data: bytes = ray.get(part)
    except ray.exceptions.RayTaskError as error:
        # Without the frames of the worker.
        raise (error.cause if isinstance(error.cause, OdinError) else error) from None
    return data


@dataclass(frozen=True)
class _Work:
    """What all tasks are given."""

    scorer: BatchScorer
    scores: list[str] | None
    parameters: dict[str, Any]
    label_column: str | None
    errors: Errors


@dataclass(frozen=True)
class _Files:
    """The image files of a task, and their classes."""

    paths: list[str]
    classes: list[int] | None

    def batches(self, work: _Work) -> Iterator[list[Row]]:
        classes: Sequence[int | None] = self.classes or [None] * len(self.paths)
        yield list(zip(fetched(self.paths), classes))


@dataclass(frozen=True)
class _Tables:
    """The row groups of a task: file and number."""

    groups: list[tuple[str, int]]

    def batches(self, work: _Work) -> Iterator[list[Row]]:
        columns = [work.scorer.image_column]
        if work.label_column is not None:
            columns.append(work.label_column)
        for file, group in self.groups:
            with opened(file) as table:
                missing = [name for name in columns if name not in table.schema_arrow.names]
                if missing:
                    there = ", ".join(table.schema_arrow.names)
                    raise OdinValueError(f"{file} has no column {missing[0]!r}; there are {there}")
                for batch in table.iter_batches(_ROWS, row_groups=[group], columns=columns):
                    yield _rows(batch, work, file)


Task: TypeAlias = _Files | _Tables


def _rows(batch: pyarrow.RecordBatch, work: _Work, file: str) -> list[Row]:
    images = fetched(images_of(batch.column(work.scorer.image_column)))
    if work.label_column is None:
        return [(image, None) for image in images]
    values = batch.column(work.label_column).to_pylist()
    if None in values:
        raise OdinValueError(f"{file}: an image has no label in the column {work.label_column!r}")
    classes = _classes(set(values), work.scorer.detector)
    return [(image, classes[value]) for image, value in zip(images, values)]


def _of_files(
    files: list[str], labels: Labels, detector: Detector, size: int
) -> tuple[list[Task], int]:
    """The tasks of image files, and how many images they have."""
    classes: list[int] | None = None
    if labels == "folder":
        folders = [os.path.basename(os.path.dirname(file)) for file in files]
        known = _classes_of_folders(set(folders), detector)
        classes = [known[folder] for folder in folders]
    starts = range(0, len(files), size)
    return [_Files(files[i : i + size], classes and classes[i : i + size]) for i in starts], len(files)


def _of_tables(files: list[str], size: int) -> tuple[list[Task], int]:
    """The tasks of Parquet files, and how many images they have."""
    tasks: list[list[tuple[str, int]]] = []
    count, in_last = 0, size
    for file, group, rows in spread(row_groups, files):
        if in_last >= size:
            tasks.append([])
            in_last = 0
        tasks[-1].append((file, group))
        in_last, count = in_last + rows, count + rows
    if not tasks:
        raise OdinValueError("the Parquet files have no rows")
    return [_Tables(groups) for groups in tasks], count


def _classes_of_folders(folders: set[str], detector: Detector) -> dict[str, int]:
    """The class of the network that each folder is.

    Where the network has no names for its classes, as many folders as it has are those in their order.
    """
    numbered = all(folder.isdecimal() for folder in folders)
    if detector.class_names is None and not numbered and len(folders) == detector.classes:
        return {folder: i for i, folder in enumerate(sorted(folders))}
    return _classes(folders, detector)


def _classes(values: set[Any], detector: Any) -> dict[Any, int]:
    """The class of the network that each label is: a number, or its name."""
    count, names = detector.classes, detector.class_names or []
    classes: dict[Any, int] = {}
    for value in values:
        if isinstance(value, str) and names.count(value) == 1:
            classes[value] = names.index(value)
        elif isinstance(value, int) or (isinstance(value, str) and value.isdecimal()):
            classes[value] = int(value)
    wrong = [value for value in values if not 0 <= classes.get(value, -1) < count]
    if wrong:
        known = f"they are {', '.join(names)}" if names else f"they are 0 to {count - 1}"
        raise OdinValueError(f"{min(map(repr, wrong))} is no class of the network; {known}")
    return classes


def _summary(work: _Work, task: Task) -> bytes:
    """The summary of the images of a task, made by a worker; empty where none can be read."""
    detector = work.scorer.detector
    assert isinstance(detector, Detector)
    images = (part for rows in task.batches(work) for part in _opened(detector, rows, work.errors))
    native, skip = detector._native(), work.errors == "skip"
    parts = (native.summarize(part, work.scores, work.parameters, skip) for part in images)
    summary = FitSummary._joined(parts)
    return b"" if summary is None else summary.to_bytes()


def _opened(detector: Detector, rows: list[Row], errors: Errors) -> Iterator[_native.Images]:
    """The images of some rows, those of one kind together."""
    kinds: dict[str, list[Row]] = {}
    for image, label in rows:
        if isinstance(image, OdinError) or image is None:
            if errors == "raise":
                raise image or OdinValueError("there is no image in a row")
            continue
        kinds.setdefault(type(image).__name__, []).append((image, label))
    source = Source(detector._classifier(), None)
    for kind in kinds.values():
        labels = [label for _, label in kind if label is not None]
        yield source.sequence([image for image, _ in kind], labels or None)
