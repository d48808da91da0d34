"""Whatever holds images, as the native part takes it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, Protocol, TypeAlias, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from . import _native
from ._warnings import warn
from .errors import OdinValueError

__all__ = ["ImagesLike", "Layout", "batches", "whole"]

ImagesLike: TypeAlias = Any
"""Images: a path of a folder, file or archive; an array or tensor of shape ``(N, H, W, C)``,
``(N, C, H, W)`` or ``(N, H, W)``; one image ``(H, W, 3)`` or ``(3, H, W)``; a PIL image; the bytes of an image file;
a sequence of those; a data set; an iterable of those or of batches, with labels or without."""

Layout: TypeAlias = Literal["NCHW", "NHWC"]

_BATCH = 64
"""How many images of an iterable of single ones are scored together."""


@runtime_checkable
class DLPack(Protocol):
    def __dlpack__(self, **options: Any) -> Any: ...


def whole(
    classifier: _native.Classifier,
    images: ImagesLike,
    labels: Sequence[int] | NDArray[np.integer[Any]] | None = None,
    layout: Layout | None = None,
) -> _native.Images:
    """All images at once. What cannot be read at any place, such as an iterator, is kept in memory."""
    source = Source(classifier, layout)
    known = source.random_access(images, _plain(labels))
    if known is not None:
        return known
    parts = list(source.parts(images))
    if not parts:
        raise OdinValueError("there is no image")
    arrays = [part for part, _ in parts]
    own = [label for _, part_labels in parts for label in part_labels or []]
    given = _plain(labels) or (own if len(own) == sum(map(len, arrays)) else None)
    if all(isinstance(array, np.ndarray) for array in arrays):
        return source.array(np.concatenate(arrays), given)
    return source.sequence([item for part in arrays for item in part], given)


def batches(
    classifier: _native.Classifier,
    images: ImagesLike,
    labels: Sequence[int] | NDArray[np.integer[Any]] | None = None,
    layout: Layout | None = None,
) -> Iterator[_native.Images]:
    """The images in their order; an iterable is never held in memory as a whole."""
    source = Source(classifier, layout)
    known = source.random_access(images, _plain(labels))
    if known is not None:
        yield known
        return
    if labels is not None:
        raise OdinValueError("an iterable brings its labels itself, as pairs of images and labels")
    for part, own in source.parts(images):
        is_array = isinstance(part, np.ndarray)
        yield source.array(part, own) if is_array else source.sequence(part, own)


def _plain(labels: Sequence[int] | NDArray[np.integer[Any]] | None) -> list[int] | None:
    if labels is None:
        return None
    try:
        array = np.asarray(_numpy(labels) if isinstance(cast("Any", labels), DLPack) else labels)
    except ValueError as error:
        raise OdinValueError(f"labels are whole numbers of shape (N,): {error}") from None
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise OdinValueError(
            f"labels are whole numbers of shape (N,), not {array.dtype} of shape {array.shape}"
        )
    plain = cast("list[int]", array.tolist())
    if plain and not 0 <= min(plain) <= max(plain) < 2**63:
        wrong = min(plain) if min(plain) < 0 else max(plain)
        raise OdinValueError(f"the label {wrong} is no class; classes are counted from 0")
    return plain


class Source:
    """Images for one network."""

    def __init__(self, classifier: _native.Classifier, layout: Layout | None) -> None:
        self.classifier = classifier
        self.layout = layout
        self.shape = classifier.image_shape
        self.takes_vectors = self.shape[0] == self.shape[1] == 1

    def random_access(self, images: ImagesLike, labels: list[int] | None) -> _native.Images | None:
        """Images that can be read at any place; None for what can only be gone through."""
        if isinstance(images, (str, os.PathLike)):
            if labels is not None:
                raise OdinValueError("images of a path have the labels of their set")
            known = _native.Images.from_path(self.classifier, images)
            warn(known.notes)
            return known
        if isinstance(images, np.ndarray):
            return self.array(images, labels)
        if isinstance(images, DLPack):
            return self.array(_numpy(images), labels)
        if isinstance(images, (bytearray, memoryview)):
            images = bytes(images)
        if isinstance(images, bytes) or is_pil(images):
            return self.sequence([images], labels)
        if isinstance(images, (list, tuple)) and not _is_pair(images):
            if not images:
                raise OdinValueError("there is no image")
            if all(self.is_image(item) for item in images):
                return self.sequence(images, labels)
        return None

    def is_image(self, item: object) -> bool:
        """Whether this is one image, and not a batch."""
        if isinstance(item, (np.ndarray, DLPack)):
            return np.ndim(cast("Any", item)) <= (1 if self.takes_vectors else 3)
        return isinstance(item, (str, bytes, os.PathLike)) or is_pil(item)

    def array(self, array: NDArray[Any], labels: list[int] | None) -> _native.Images:
        return _native.Images.from_array(
            self.classifier, self.batch_of(values_of(array)), labels, self.layout
        )

    def batch_of(self, array: NDArray[Any]) -> NDArray[Any]:
        """An array of one image as a batch of one."""
        channels = self.shape[0]
        if self.takes_vectors:
            return array[None] if array.ndim == 1 else array
        if array.ndim == 2 and not self.classifier.takes_measurements:
            return array[None]
        if array.ndim == 3 and channels == 3 and 3 in (array.shape[0], array.shape[2]):
            return array[None]
        if array.ndim == 3 and channels == 1 and array.shape == self.shape:
            return array[None]
        return array

    def sequence(self, items: Sequence[Any], labels: list[int] | None) -> _native.Images:
        if labels is not None and len(labels) != len(items):
            raise OdinValueError(f"each image needs one label: images {len(items)}, labels {len(labels)}")
        if all(isinstance(item, (str, os.PathLike)) for item in items):
            return labelled(_native.Images.from_paths(self.classifier, items), labels)
        if all(isinstance(item, bytes) for item in items):
            files = [(f"{i:05}", item) for i, item in enumerate(items)]
            return labelled(_native.Images.from_encoded(self.classifier, files), labels)
        arrays = [self.one(item) for item in items]
        shapes = {array.shape for array in arrays}
        if len(shapes) == 1 and len(arrays) > 0 and not any(map(is_pil, items)):
            if len({array.dtype for array in arrays}) == 1:
                return self.array(np.stack(arrays), labels)
        names = [str(getattr(item, "filename", "") or f"{i:05}") for i, item in enumerate(items)]
        last = [self.channels_last(array) for array in arrays]
        return _native.Images.from_decoded(self.classifier, last, names, labels)

    def one(self, item: Any) -> NDArray[Any]:
        if isinstance(item, (str, bytes, os.PathLike)):
            raise OdinValueError("files and images cannot be mixed")
        if is_pil(item):
            return _pixels(item, self.shape[0])
        if not isinstance(item, (np.ndarray, DLPack)):
            raise OdinValueError(f"{type(item).__name__} is no image; make a NumPy array of it")
        array = values_of(item if isinstance(item, np.ndarray) else _numpy(item))
        return np.ascontiguousarray(array)

    def channels_last(self, array: NDArray[Any]) -> NDArray[Any]:
        """Of one image."""
        if array.ndim != 3 or self.layout == "NHWC":
            return array
        first, last = array.shape[0] in (1, 3), array.shape[2] in (1, 3)
        if self.layout is None and first and last:
            raise OdinValueError(
                f"the shape {array.shape} fits channels in front and at the end; give the layout"
            )
        if self.layout == "NCHW" or first:
            return np.ascontiguousarray(np.moveaxis(array, 0, 2))
        return array

    def parts(self, images: Iterable[Any]) -> Iterator[tuple[Any, list[int] | None]]:
        """Batches of an iterable, arrays or lists of images, each with its labels."""
        singles: list[Any] = []
        labels: list[int] = []
        for item in _items(images):
            image, label = item if _is_pair(item) else (item, None)
            if self.is_image(image):
                singles.append(image)
                if label is not None:
                    labels += _plain([label]) or []
                if len(singles) == _BATCH:
                    yield singles, labels if len(labels) == len(singles) else None
                    singles, labels = [], []
                continue
            if singles:
                yield singles, labels if len(labels) == len(singles) else None
                singles, labels = [], []
            if isinstance(image, (list, tuple)):
                yield list(image), _plain(label)
            elif isinstance(image, (np.ndarray, DLPack)):
                array = image if isinstance(image, np.ndarray) else _numpy(image)
                if len(array):
                    yield values_of(array), _plain(label)
            else:
                raise OdinValueError(f"{type(image).__name__} is neither an image nor a batch")
        if singles:
            yield singles, labels if len(labels) == len(singles) else None


def labelled(images: _native.Images, labels: list[int] | None) -> _native.Images:
    return images if labels is None else images.labelled(labels)


def _items(images: Any) -> Iterable[Any]:
    if isinstance(images, Iterable):
        return images
    if hasattr(images, "__getitem__") and hasattr(images, "__len__"):
        return (images[i] for i in range(len(images)))
    raise OdinValueError(
        f"{type(images).__name__} holds no images: give a path, an array, a tensor, a PIL image, or "
        "a sequence or iterable of them"
    )


def _is_pair(item: object) -> bool:
    """Whether this is an image or a batch with its labels, as data sets and loaders give them."""
    if not isinstance(item, (list, tuple)) or len(item) != 2:
        return False
    image, label = item
    if isinstance(label, (int, np.integer)):
        return True
    dimensions = np.ndim(cast("Any", label)) if isinstance(label, (np.ndarray, DLPack)) else None
    if dimensions is None:
        return isinstance(label, (list, tuple)) and all(
            isinstance(entry, (int, np.integer)) for entry in label
        )
    if isinstance(image, (list, tuple)):
        return dimensions == 1
    return dimensions <= 1 and np.ndim(cast("Any", image)) > dimensions


def is_pil(item: object) -> bool:
    return type(item).__module__.split(".")[0] == "PIL" or (
        hasattr(item, "getbands") and hasattr(item, "convert")
    )


def _pixels(image: Any, channels: int) -> NDArray[Any]:
    """The 8-bit pixels of a PIL image, grey or RGB; 16 bits keep their high byte."""
    if image.mode.startswith("I;16"):
        return (np.asarray(image) >> 8).astype(np.uint8)
    if image.mode in ("I", "F"):
        raise OdinValueError(f"a PIL image of the mode {image.mode} has no defined range")
    return np.asarray(image.convert("L" if channels == 1 else "RGB"))


def _numpy(tensor: Any) -> NDArray[Any]:
    """A tensor as an array, without a copy."""
    if getattr(tensor, "requires_grad", False):
        tensor = tensor.detach()
    if str(getattr(tensor, "dtype", "")) == "torch.bfloat16":
        tensor = tensor.float()
    try:
        return np.from_dlpack(tensor)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise OdinValueError(
            f"the tensor cannot be read as an array ({error}); move it to the CPU first"
        ) from error


def values_of(array: NDArray[Any]) -> NDArray[Any]:
    """The same values in C order and a type that the native part takes."""
    if np.ma.is_masked(array):
        raise OdinValueError("the array has masked values; fill them, for masks are not looked at")
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    if array.dtype.kind == "f" and not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype not in (np.uint8, np.float32, np.float64):
        raise OdinValueError(
            f"arrays of {array.dtype} are no images; give uint8 levels from 0 to 255, or float32 "
            "from 0 to 1"
        )
    return np.ascontiguousarray(array)
