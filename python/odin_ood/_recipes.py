"""All that detectors are made of; what is pickled."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import _native
from ._numbers import threads_or_all, whole_number
from .errors import OdinValueError

__all__ = ["CalibratedRecipe", "Model", "Recipe", "engine_of", "of_precision"]


@dataclass(frozen=True)
class Model:
    """A model file, by path or by its bytes, and what the caller says of it."""

    path: str | None
    data: bytes | None
    sha256: str | None
    options: _native.Options

    def open(self) -> _native.Classifier:
        if self.path is not None:
            opened = _native.Classifier.open(self.path, self.options)
        else:
            opened = _native.Classifier.from_bytes(self.data or b"", "model", self.options)
        if self.sha256 is not None and opened.sha256 != self.sha256:
            raise OdinValueError(
                f"{self.path}: the model was changed; its SHA-256 is {opened.sha256} instead of "
                f"{self.sha256}"
            )
        return opened

    def location(self) -> str | tuple[str, bytes]:
        return self.path if self.path is not None else ("model", self.data or b"")


@dataclass(frozen=True)
class Recipe:
    """All that a detector is made of."""

    model: Model
    temperature: float
    magnitude: float
    engine: _native.Engine
    scores: tuple[str, ...] = ()
    statistics: bytes = field(default=b"", repr=False)
    i_odin: bool = False
    precision: str = "exact"


@dataclass(frozen=True)
class CalibratedRecipe:
    """All that a calibrated detector is made of."""

    engine: _native.Engine
    toml: str | None = field(default=None, repr=False)
    statistics: bytes | None = field(default=None, repr=False)
    path: str | None = None
    model: str | tuple[str, bytes] | None = field(default=None, repr=False)
    checksum: str | None = None


def engine_of(threads: int | None, batch_size: int, device: str) -> _native.Engine:
    return {
        "threads": threads_or_all(threads),
        "batch_size": whole_number("batch_size", batch_size, 1),
        "device": device,
        "libraries": [] if device == "cpu" else onnx_runtimes(),
    }


def of_precision(precision: str) -> str:
    """What a representation says of a precision."""
    return "" if precision == "exact" else f", {precision}"


def onnx_runtimes() -> list[str]:
    """The library of an installed ONNX Runtime."""
    from importlib.util import find_spec
    from pathlib import Path as Folder

    spec = find_spec("onnxruntime")
    roots = spec.submodule_search_locations if spec else None
    found = [path for root in roots or [] for path in Folder(root).glob("capi/*onnxruntime*")]
    return [str(path) for path in sorted(found) if ".so." in path.name or path.suffix in (".dll", ".dylib")]
