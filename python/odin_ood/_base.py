"""What detectors share, calibrated and not: opening, scoring in batches, copying, pickling."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from . import _native
from ._images import ImagesLike, Layout, batches
from ._progress import Progress, behind, reporting
from .errors import OdinValueError
from .scores import ScoresT

__all__ = ["Base", "Errors", "Labels", "Path"]

Path: TypeAlias = str | os.PathLike[str]
Labels: TypeAlias = Sequence[int] | NDArray[np.integer[Any]] | None
Errors: TypeAlias = Literal["raise", "keep"]


class _Made(Protocol):
    """A recipe."""

    @property
    def engine(self) -> _native.Engine: ...


class _Native(Protocol):
    """The native part of a detector."""

    @property
    def is_usable(self) -> bool: ...
    @property
    def score_names(self) -> list[str]: ...
    def gradient(self, images: _native.Images) -> NDArray[np.float32]: ...


class _Rows(Protocol):
    """What the native part makes of images."""

    def columns(self) -> dict[str, Any]: ...


MadeT = TypeVar("MadeT", bound=_Made)
NativeT = TypeVar("NativeT", bound=_Native)

# Within the class below, `_native` is its method.
_Classifier: TypeAlias = _native.Classifier
_Images: TypeAlias = _native.Images


class Base(Generic[MadeT, NativeT]):
    """A detector, which is immutable and opens its model when it is first used."""

    _recipe: MadeT

    def _reset(self, native: NativeT | None, classifier: _Classifier | None) -> None:
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._native_ = native
        self._classifier_ = classifier

    def _opened(self) -> NativeT:
        """The native part, made by the recipe."""
        raise NotImplementedError

    def _opened_classifier(self) -> _Classifier:
        raise NotImplementedError

    def _saved(self) -> MadeT:
        """What another process needs to make it anew."""
        return self._recipe

    @classmethod
    def _of(cls, recipe: MadeT, /) -> Any:
        raise NotImplementedError

    def _native(self) -> NativeT:
        if self._process != os.getpid():
            # Forked: neither the lock nor the engine's threads came along.
            self._reset(self._native_, self._classifier_)
        with self._lock:
            native = self._native_
            if native is None or not native.is_usable:
                native = self._native_ = self._opened()
            return native

    def _classifier(self) -> _Classifier:
        if self._classifier_ is None:
            self._classifier_ = self._opened_classifier()
        return self._classifier_

    @property
    def classes(self) -> int:
        """The number of classes."""
        return self._classifier().classes

    @property
    def class_names(self) -> list[str] | None:
        """In the order of the logits, where known."""
        return self._classifier().class_names

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)`` of the images that the network takes."""
        return self._classifier().image_shape

    @property
    def threads(self) -> int:
        """How many threads decode and score."""
        return self._recipe.engine["threads"]

    @property
    def score_names(self) -> tuple[str, ...]:
        """The names of the scores that it computes, ``msp`` and ``odin`` first."""
        return tuple(self._native().score_names)

    def _columns(
        self,
        kind: type[ScoresT],
        score: Callable[[_Images, bool, Callable[[int, int], object] | None], _Rows],
        images: ImagesLike,
        labels: Labels,
        layout: Layout | None,
        errors: Errors,
        progress: Progress,
    ) -> ScoresT:
        """What ``score`` gives for all images."""
        if errors not in ("raise", "keep"):
            raise OdinValueError(f"errors is 'raise' or 'keep', not {errors!r}")
        parts: list[ScoresT] = []
        with reporting(progress) as report:
            for batch in batches(self._classifier(), images, labels, layout):
                done = sum(map(len, parts))
                scored = score(batch, errors == "keep", behind(done, report))
                parts.append(kind(scored.columns()))
        return _numbered(kind, parts)

    def _gradient(self, images: ImagesLike, layout: Layout | None) -> NDArray[np.float32]:
        native = self._native()
        parts = [native.gradient(batch) for batch in batches(self._classifier(), images, None, layout)]
        if not parts:
            raise OdinValueError("there is no image")
        return np.concatenate(parts)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        # It is immutable.
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return (_unpickled, (type(self), self._saved()))


def _unpickled(cls: type[Base[Any, Any]], recipe: Any) -> Any:
    """A detector that opens its model when it is first used."""
    return cls._of(recipe)


def _numbered(cls: type[ScoresT], parts: list[ScoresT]) -> ScoresT:
    """The parts behind each other; images that are named by their place are counted through."""
    if len(parts) == 1:
        return parts[0]
    joined = cls._concatenated(parts)
    own = [name for part in parts for name in (f"{i:05}" for i in range(len(part)))]
    if joined.file == own:
        return cls({**joined.to_dict(), "file": [f"{i:05}" for i in range(len(joined))]})
    return joined
