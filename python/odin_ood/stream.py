"""Batches of rows in, rows out: the one class that engines for many machines need."""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import _native
from ._images import DLPack, Layout, Source, is_pil, values_of
from .detector import CalibratedDetector, Detector, load
from .errors import OdinError, OdinValueError

if TYPE_CHECKING:
    import pyarrow

__all__ = ["BatchScorer"]

AnyDetector: TypeAlias = CalibratedDetector | Detector
Columns: TypeAlias = dict[str, NDArray[Any]]

_DECISION = ("percentile", "p_value", "threshold", "is_in_distribution")
_NAME = "image"
"""What messages call an image without a path, wherever in a batch it is."""


class BatchScorer:
    """Scores batches of rows that hold an image each.

    For Ray Data it is the class of ``map_batches``; for Spark, :meth:`record_batches` is the function
    of ``mapInArrow``. A row that cannot be scored is a row with an ``error``, the prediction -1 and
    scores of NaN. Neither scores nor errors depend on the batch, on threads or on the engine, bit for
    bit. Once pickled and opened in another process, it keeps to the CPUs that Ray or Spark gave the
    worker, and all scorers of a process that have one detector share its model.

    Args:
        detector_path: A ``detector.toml``, or a detector itself.
        image_column: Of paths (text), encoded images (bytes), or arrays: ``(N, ...)`` of one shape, or
            one array a row.
        threads: Of this process. Unless given: the CPUs of the worker of Ray or Spark that this is,
            those of the detector that was given, or all that the process may use.
        keep: Which columns of the input are in the output, too: all but that of the images (True),
            none (False), or those named, which may have the images' among them.
        layout: ``"NCHW"`` or ``"NHWC"``, where the shape of arrays does not tell.

    Raises:
        OdinOSError: The detector cannot be read.
        OdinValueError: The detector is damaged, or ``threads`` is below 1.

    >>> scorer = odin_ood.BatchScorer(calibrated)
    >>> rows = scorer({"path": np.array(["a", "b"]), "image": near[:2]})
    >>> list(rows)[:3], rows["is_in_distribution"].dtype
    (['path', 'prediction', 'msp'], dtype('bool'))
    """

    def __init__(
        self,
        detector_path: str | os.PathLike[str] | CalibratedDetector | Detector,
        image_column: str = "image",
        *,
        threads: int | None = None,
        keep: bool | Sequence[str] = True,
        layout: Layout | None = None,
    ) -> None:
        own = worker_cpus() if threads is None else threads
        if isinstance(detector_path, (str, os.PathLike)):
            detector: AnyDetector = load(detector_path, threads=own)
        else:
            detector = with_threads(detector_path, own)
        self._set(detector, image_column, threads, keep, layout)

    def _set(
        self,
        detector: AnyDetector,
        image_column: str,
        threads: int | None,
        keep: bool | Sequence[str],
        layout: Layout | None,
    ) -> None:
        self.detector = detector
        self.image_column = image_column
        self.keep = keep if isinstance(keep, bool) else tuple(keep)
        self._threads = threads
        self._layout: Layout | None = layout

    @classmethod
    def for_workers(
        cls, detector: str | os.PathLike[str] | CalibratedDetector | Detector, *arguments: Any, **options: Any
    ) -> BatchScorer:
        """One that brings its model along when it is pickled; arguments as for a new one."""
        opened = load(detector) if isinstance(detector, (str, os.PathLike)) else detector
        return cls(portable(opened), *arguments, **options)

    def __reduce__(self) -> tuple[Any, ...]:
        options = (self.image_column, self._threads, self.keep, self._layout)
        return (_unpickled, (self.detector, *options))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that it adds: ``prediction``, the scores, the decision, ``error``.

        >>> odin_ood.BatchScorer(detector).columns[:3]
        ('prediction', 'msp', 'odin')
        """
        return tuple(self._unscored(0))

    @property
    def schema(self) -> pyarrow.Schema:
        """The Arrow types of the columns that it adds.

        >>> scorer = odin_ood.BatchScorer(calibrated)
        >>> scorer.schema.field("odin").type
        DataType(double)
        """
        import pyarrow

        columns = self._unscored(0).items()
        return pyarrow.schema([(name, _arrow_type(values.dtype)) for name, values in columns])

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Scores a batch of columns of one length, N.

        Args:
            batch: Columns by name, that of the images among them.

        Returns:
            The columns that are kept as they were, and those of scores, each of shape ``(N,)``.

        Raises:
            OdinValueError: A column is missing, or has the name of one that is added.
            OdinRuntimeError: The engine failed.

        >>> scorer = odin_ood.BatchScorer(calibrated)
        >>> scorer({"image": [near[0], b"damaged", None]})["error"].tolist()
        [None, 'image is no PNG, ...', 'there is no image']
        """
        kept = {name: batch[name] for name in self.kept(tuple(batch))}
        return {**kept, **self.score(batch[self.image_column])}

    def record_batches(self, batches: Iterable[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
        """Record batches in, record batches out: the function of Spark's ``mapInArrow``.

        >>> scorer = odin_ood.BatchScorer(calibrated)
        >>> import pyarrow
        >>> batch = pyarrow.record_batch({"path": ["a", "b"], "image": [b"damaged", None]})
        >>> next(scorer.record_batches([batch]))["error"].null_count
        0
        """
        for batch in batches:
            yield self.record_batch(batch)

    def record_batch(self, batch: pyarrow.RecordBatch) -> pyarrow.RecordBatch:
        """Scores a record batch; arguments and exceptions are those of a call.

        >>> import pyarrow
        >>> paths = pyarrow.record_batch({"path": ["/missing.png"]})
        >>> odin_ood.BatchScorer(calibrated, "path").record_batch(paths)["error"][0].as_py()
        'cannot open /missing.png: ...'
        """
        self.kept(tuple(batch.schema.names))
        return self.with_scores(batch, images_of(batch.column(self.image_column)))

    def with_scores(
        self, batch: pyarrow.RecordBatch, images: Sequence[Any] | NDArray[Any]
    ) -> pyarrow.RecordBatch:
        """The columns of a batch that are kept, and the scores of its images, wherever they were."""
        import pyarrow

        kept = self.kept(tuple(batch.schema.names))
        scored = self.arrow(images)
        fields = [*(batch.schema.field(name) for name in kept), *scored.schema]
        values = [*(batch.column(name) for name in kept), *scored.columns]
        return pyarrow.RecordBatch.from_arrays(values, schema=pyarrow.schema(fields))

    def arrow(self, images: Sequence[Any] | NDArray[Any]) -> pyarrow.RecordBatch:
        """The columns of :meth:`score` as a record batch of :attr:`schema`."""
        import pyarrow

        schema, scored = self.schema, self.score(images)
        values = [pyarrow.array(scored[f.name], f.type, from_pandas=False) for f in schema]
        return pyarrow.RecordBatch.from_arrays(values, schema=schema)

    def kept(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The columns to keep of those that there are.

        Raises:
            OdinValueError: A column is missing, or has the name of one that is added.
        """
        others = tuple(name for name in names if name != self.image_column)
        kept = self.keep if isinstance(self.keep, tuple) else others if self.keep else ()
        for name in (self.image_column, *kept):
            if name not in names:
                raise OdinValueError(f"there is no column {name!r}; there are {', '.join(names)}")
        clash = sorted(set(kept) & set(self.columns))
        if clash:
            raise OdinValueError(f"the column {clash[0]!r} is in the input already; rename it")
        return kept

    def score(self, images: Sequence[Any] | NDArray[Any]) -> Columns:
        """Scores N images, each whatever the others are.

        Args:
            images: An array ``(N, ...)``, or N paths, encoded images, arrays, PIL images or None.

        Returns:
            The columns that are added, each of shape ``(N,)``.

        >>> scorer = odin_ood.BatchScorer(calibrated)
        >>> scorer.score(near[:2])["odin"].shape
        (2,)
        """
        columns = self._unscored(len(images))
        for kind, places, given in _kinds(images):
            scored = {"error": _objects(given)} if kind == "none" else self._of_kind(kind, given)
            for name, values in scored.items():
                columns[name][places] = values
        return columns

    def _of_kind(self, kind: str, images: Any) -> Columns:
        """The scores of images of one kind."""
        try:
            scored = self._judged(self._opened(kind, images))
        except OdinError as error:
            if len(images) == 1:
                return self._unscored(1, str(error))
            # What one of them is must not cost the others their scores.
            half = len(images) // 2
            parts = [self._of_kind(kind, part) for part in (images[:half], images[half:])]
            scored = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return self._named_alike(images, scored) if kind == "array" else scored

    def _named_alike(self, images: Any, scored: Columns) -> Columns:
        """The same with messages that do not name the place of an array in its batch."""
        for i in np.flatnonzero(scored["error"] != np.array(None)):
            if len(images) > 1:
                scored["error"][i] = self._of_kind("array", images[i : i + 1])["error"][0]
            elif scored["error"][i].startswith("00000"):
                scored["error"][i] = _NAME + scored["error"][i][5:]
        return scored

    def _opened(self, kind: str, images: Any) -> _native.Images:
        classifier = self.detector._classifier()
        if kind == "path":
            return _native.Images.from_paths(classifier, images)
        if kind == "encoded":
            return _native.Images.from_encoded(classifier, [(_NAME, data) for data in images])
        if isinstance(images, np.ndarray):
            return _native.Images.from_array(classifier, values_of(images), None, self._layout)
        return Source(classifier, self._layout).sequence(images, None)

    def _judged(self, images: _native.Images) -> Columns:
        detector = self.detector
        if isinstance(detector, CalibratedDetector):
            columns = detector._native().judge(images, True).columns()
        else:
            columns = detector._native().score(images, True).columns()
        errors = columns.get("error") or [None] * len(columns["file"])
        scored = {name: columns[name] for name in self.columns if name != "error"}
        return {**scored, "error": _objects(errors)}

    def _unscored(self, n: int, error: str = "there is no image") -> Columns:
        """The rows of n images without scores."""
        columns: Columns = {"prediction": np.full(n, -1, np.int64)}
        is_calibrated = isinstance(self.detector, CalibratedDetector)
        for name in (*self.detector.score_names, *(_DECISION if is_calibrated else ())):
            columns[name] = np.full(n, np.nan)
        if is_calibrated:
            columns["is_in_distribution"] = np.zeros(n, np.bool_)
        columns["error"] = _objects([error] * n)
        return columns


def _kinds(images: Sequence[Any] | NDArray[Any]) -> Iterator[tuple[str, Any, Any]]:
    """The places and the images of each kind: ``array``, ``encoded``, ``path``; messages for ``none``."""
    if isinstance(images, np.ndarray) and images.dtype.kind not in "OUST":
        if len(images):
            yield "array", slice(None), images
        return
    rows = [_image(item) for item in _items(images)]
    for kind in ("array", "encoded", "path", "none"):
        places = [i for i, (own, _) in enumerate(rows) if own == kind]
        if places:
            yield kind, places, [rows[i][1] for i in places]


def _items(images: Sequence[Any] | NDArray[Any]) -> Iterable[Any]:
    if isinstance(images, np.ndarray) and images.dtype.kind == "S":
        # As items they would lose the zeros at their end.
        size, data = images.dtype.itemsize, images.tobytes()
        return (data[i : i + size] for i in range(0, len(data), size))
    return images


def _image(item: Any) -> tuple[str, Any]:
    """The kind of an entry of a column, and the image."""
    if isinstance(item, Mapping):
        # As Hugging Face's data sets have it.
        item = item.get("bytes") or item.get("path")
    if isinstance(item, (str, os.PathLike)):
        return "path", os.fspath(item)
    if isinstance(item, (bytes, bytearray, memoryview)):
        return "encoded", bytes(item)
    if isinstance(item, (np.ndarray, DLPack)) or is_pil(item):
        return "array", item
    if isinstance(item, Exception):
        # What came instead of it.
        return "none", str(item)
    if item is None or type(item).__name__ in ("NAType", "NaTType") or item != item:
        return "none", "there is no image"
    return "none", f"{type(item).__name__} is no image: give a path, encoded bytes, or an array"


def images_of(column: pyarrow.Array) -> Sequence[Any] | NDArray[Any]:
    """The images of an Arrow column."""
    import pyarrow

    if isinstance(column, pyarrow.FixedShapeTensorArray):
        tensors: NDArray[Any] = column.to_numpy_ndarray()
        return tensors
    if isinstance(column, pyarrow.ExtensionArray):
        return list(column.to_numpy(zero_copy_only=False))
    items: list[Any] = column.to_pylist()
    leaf = column.type
    while pyarrow.types.is_list(leaf) or pyarrow.types.is_fixed_size_list(leaf):
        leaf = leaf.value_type
    if leaf == column.type or not pyarrow.types.is_primitive(leaf):
        return items
    return [_array(item, leaf.to_pandas_dtype()) for item in items]


def _array(item: Any, dtype: Any) -> Any:
    try:
        return None if item is None else np.array(item, dtype)
    except (TypeError, ValueError):
        return item


def _objects(items: Sequence[Any]) -> NDArray[Any]:
    objects = np.empty(len(items), object)
    objects[:] = items
    return objects


def _arrow_type(dtype: np.dtype[Any]) -> Any:
    import pyarrow

    return pyarrow.string() if dtype == object else pyarrow.from_numpy_dtype(dtype)


def worker_cpus() -> int | None:
    """The CPUs that Ray or Spark gave the worker that this process is; None elsewhere."""
    ray, pyspark = sys.modules.get("ray"), sys.modules.get("pyspark")
    if ray is not None and ray.is_initialized():
        context = ray.get_runtime_context()
        if context.worker.mode == ray.WORKER_MODE:
            return max(1, int(context.get_assigned_resources().get("CPU", 1)))
    task = pyspark.TaskContext.get() if pyspark is not None else None
    return None if task is None else max(1, int(task.cpus()))


def with_threads(detector: AnyDetector, threads: int | None) -> AnyDetector:
    """The same detector with so many threads; its own unless given."""
    recipe = detector._recipe
    if threads is None or threads == recipe.engine["threads"]:
        return detector
    if threads < 1:
        raise OdinValueError(f"threads must be at least 1, not {threads}")
    engine = {**recipe.engine, "threads": threads}
    return type(detector)._of(replace(recipe, engine=engine), None)  # type: ignore[arg-type]


def portable(detector: AnyDetector) -> AnyDetector:
    """The same detector, which brings its model along: other machines need no file.

    A model that is more than its one file stays where it is, and must be there on every machine.
    """
    try:
        if isinstance(detector, CalibratedDetector):
            return _portable_calibrated(detector)
        return _portable(detector)
    except (OdinError, OSError):
        return detector


def _portable_calibrated(detector: CalibratedDetector) -> CalibratedDetector:
    recipe = detector._recipe
    if not isinstance(recipe.model, str):
        return detector
    model = (recipe.model, Path(recipe.model).read_bytes())
    brought = CalibratedDetector._of(replace(recipe, model=model), None)
    return brought if brought.checksum == detector.checksum else detector


def _portable(detector: Detector) -> Detector:
    model = detector._recipe.model
    if model.path is None:
        return detector
    model = replace(model, path=None, data=Path(model.path).read_bytes())
    brought = Detector._of(replace(detector._recipe, model=model))
    same = brought._classifier().fingerprint == detector._classifier().fingerprint
    return brought if same and brought.class_names == detector.class_names else detector


_opened: dict[str, AnyDetector] = {}
"""The detector of this process; the engines ask for one again and again."""


def _unpickled(
    detector: AnyDetector,
    image_column: str,
    threads: int | None,
    keep: bool | Sequence[str],
    layout: Layout | None,
) -> BatchScorer:
    scorer = BatchScorer.__new__(BatchScorer)
    own = with_threads(detector, worker_cpus() if threads is None else threads)
    scorer._set(_shared(own), image_column, threads, keep, layout)
    return scorer


def _shared(detector: AnyDetector) -> AnyDetector:
    """One of this process that is the same, so that its model is opened once."""
    key = hashlib.sha256(pickle.dumps(detector)).hexdigest()
    if key not in _opened:
        _opened.clear()
        _opened[key] = detector
    return _opened[key]
