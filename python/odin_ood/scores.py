"""Scores and verdicts of images, as columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from . import _native
from ._warnings import counted_images
from .errors import OdinValueError

if TYPE_CHECKING:
    import pandas

__all__ = ["Scores", "Verdicts"]

ScoresT = TypeVar("ScoresT", bound="Scores")

_DECISION = ("percentile", "p_value", "threshold", "is_in_distribution")
_NOT_SCORES = ("file", "label", "prediction", "error", *_DECISION)


class Scores:
    """The scores of N images, in their order. High scores mean in-distribution.

    Every column is an attribute and an item: ``scores.odin`` is ``scores["odin"]``, an array of
    shape ``(N,)`` of ``float64``; a name with a hyphen is an attribute with an underscore
    (``scores.max_logit``). Data frames read it as it is (``polars.DataFrame(scores)``,
    ``pyarrow.table(scores)``, DuckDB), by the Arrow PyCapsule interface.

    >>> scores = detector.score(near[:3])
    >>> scores.names[:2]
    ('msp', 'odin')
    >>> scores.prediction.dtype, scores.odin.shape
    (dtype('int64'), (3,))
    >>> scores.to_pandas()["file"].tolist()
    ['00000', '00001', '00002']
    """

    __slots__ = ("_columns",)

    _columns: dict[str, Any]

    def __init__(self, columns: Mapping[str, Any]) -> None:
        object.__setattr__(self, "_columns", dict(columns))

    @property
    def file(self) -> list[str]:
        """The images' names: paths relative to their set, or places."""
        return list(self._columns["file"])

    @property
    def label(self) -> NDArray[np.int64]:
        """The true classes ``(N,)``, where the images have them; -1 elsewhere."""
        return self._array("label")

    @property
    def prediction(self) -> NDArray[np.int64]:
        """The predicted classes ``(N,)``; -1 where an image has no scores."""
        return self._array("prediction")

    @property
    def errors(self) -> list[str | None]:
        """Why an image has no scores, which are NaN then; None where it has."""
        missing: list[str | None] = [None] * len(self)
        return list(self._columns.get("error", missing))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the scores, ``msp`` and ``odin`` first."""
        return tuple(name for name in self._columns if name not in _NOT_SCORES)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all columns."""
        return tuple(self._columns)

    def _array(self, name: str) -> NDArray[Any]:
        values: NDArray[Any] = self._columns[name]
        return values

    def __getitem__(self, name: str) -> Any:
        """A column by its name: an array of shape ``(N,)``, or a list of text."""
        try:
            return self._columns[name]
        except KeyError:
            known = ", ".join(self._columns)
            raise KeyError(f"there is no column {name!r}; they are {known}") from None

    def __getattr__(self, name: str) -> NDArray[np.float64]:
        for column in (name, name.replace("_", "-")):
            if not name.startswith("_") and column in self._columns:
                values: NDArray[np.float64] = self._columns[column]
                return values
        known = ", ".join(self.names) if not name.startswith("_") else ""
        raise AttributeError(f"there is no score {name!r}; there are {known}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("scores cannot be changed; make a data frame of them")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(name.replace("-", "_") for name in self.names)]

    def __len__(self) -> int:
        return len(self._columns["file"])

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Scores) or self.columns != other.columns:
            return False
        pairs = ((self[name], other[name]) for name in self)
        return all(
            np.array_equal(a, b, equal_nan=True) if getattr(a, "dtype", None) == float else list(a) == list(b)
            for a, b in pairs
        )

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[type, tuple[dict[str, Any]]]:
        return (type(self), (self._columns,))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {counted_images(len(self))}: {', '.join(self.names)}>"

    def to_dict(self) -> dict[str, Any]:
        """The columns by name, arrays of shape ``(N,)`` and lists of text."""
        return dict(self._columns)

    def to_pandas(self) -> pandas.DataFrame:
        """A pandas data frame of N rows."""
        import pandas

        return pandas.DataFrame(self._columns)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The Arrow PyCapsule interface: one batch of N rows."""
        return _native.arrow_stream(list(self._columns.items()))

    @classmethod
    def _concatenated(cls: type[ScoresT], parts: Sequence[ScoresT]) -> ScoresT:
        """Those of several batches behind each other."""
        if not parts:
            raise OdinValueError("there is no image to score")
        names = dict.fromkeys(name for part in parts for name in part)
        columns: dict[str, Any] = {}
        for name in names:
            values: list[Any] = [part.errors if name == "error" else part[name] for part in parts]
            is_text = isinstance(values[0], list)
            columns[name] = sum(values, []) if is_text else np.concatenate(values)
        return cls(columns)


class Verdicts(Scores):
    """The scores of N images and what a calibrated detector decides by them.

    >>> verdicts = calibrated.judge(near[:3])
    >>> verdicts.is_in_distribution.dtype, verdicts.p_value.shape
    (dtype('bool'), (3,))
    """

    __slots__ = ()

    @property
    def percentile(self) -> NDArray[np.float64]:
        """The percentage of the calibration's scores that are not above each, ``(N,)``."""
        values: NDArray[np.float64] = self._array("percentile")
        return values

    @property
    def p_value(self) -> NDArray[np.float64]:
        """Conformal p-values ``(N,)``: of in-distribution images, at most the share p has p or less."""
        values: NDArray[np.float64] = self._array("p_value")
        return values

    @property
    def threshold(self) -> NDArray[np.float64]:
        """The thresholds ``(N,)`` of the deciding score, for the predicted class where each has one."""
        values: NDArray[np.float64] = self._array("threshold")
        return values

    @property
    def is_in_distribution(self) -> NDArray[np.bool_]:
        """Whether each score reaches its threshold, ``(N,)``; False where an image has no score."""
        values: NDArray[np.bool_] = self._array("is_in_distribution")
        return values
