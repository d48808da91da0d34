"""The native part of odin_ood."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, TypedDict, final

import numpy as np
from numpy.typing import NDArray

__version__: str

Progress = Callable[[int, int], object]
Path = str | os.PathLike[str]

class Options(TypedDict):
    mean: Sequence[float] | None
    std: Sequence[float] | None
    scale: float | None
    channels: str | None
    layout: str | None
    size: tuple[int, int] | None
    transform: str | None
    class_names: Sequence[str] | None
    output: str | None
    weights: str | None
    multi_label: bool | None
    config: Path | None

class Engine(TypedDict):
    threads: int
    batch_size: int
    device: str
    libraries: Sequence[Path]

class FiveMetrics(TypedDict):
    fpr_at_95_tpr: float
    detection_error: float
    auroc: float
    aupr_in: float
    aupr_out: float

class Evaluated(TypedDict):
    metrics: FiveMetrics
    exact_instead: list[str]
    outside_grid: int
    ci95: dict[str, tuple[float, float]] | None

class Fitted(TypedDict):
    names: list[str]
    statistics: bytes
    left_out: list[tuple[str, str]]
    warnings: list[str]

def available_threads() -> int: ...
def run_command(arguments: Sequence[str]) -> int: ...
def arrow_stream(columns: Sequence[tuple[str, object]]) -> object: ...
def evaluate(
    in_scores: NDArray[np.float64],
    out_scores: NDArray[np.float64],
    protocol: dict[str, Any] | None = None,
    bootstrap: tuple[int, int, int] | None = None,
) -> Evaluated: ...
def threshold_for_tpr(in_scores: NDArray[np.float64], tpr: float) -> float: ...

def read_scores(path: Path, name: str | None = None) -> NDArray[np.float64]: ...
def roc_curve(
    in_scores: NDArray[np.float64], out_scores: NDArray[np.float64], drop_intermediate: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]: ...
def precision_recall_curve(
    in_scores: NDArray[np.float64],
    out_scores: NDArray[np.float64],
    out: bool,
    drop_intermediate: bool,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]: ...

@final
class HistogramSketch:
    def __init__(
        self, in_scores: NDArray[np.float64], out_scores: NDArray[np.float64], precision: int
    ) -> None: ...
    @staticmethod
    def from_bytes(bytes: bytes) -> HistogramSketch: ...
    def to_bytes(self) -> bytes: ...
    def merged(self, other: HistogramSketch) -> HistogramSketch: ...
    @property
    def precision(self) -> int: ...
    @property
    def n_in(self) -> int: ...
    @property
    def n_out(self) -> int: ...
    @property
    def bins(self) -> int: ...
    def metrics(self) -> FiveMetrics: ...
    def bounds(self) -> dict[str, tuple[float, float]]: ...
    def threshold_for_tpr(self, tpr: float) -> tuple[float, float]: ...

@final
class Classifier:
    @staticmethod
    def open(path: Path, options: Options) -> Classifier: ...
    @staticmethod
    def from_bytes(bytes: bytes, name: str, options: Options) -> Classifier: ...
    @property
    def architecture(self) -> str: ...
    @property
    def classes(self) -> int: ...
    @property
    def class_names(self) -> list[str] | None: ...
    @property
    def image_shape(self) -> tuple[int, int, int]: ...
    @property
    def takes_measurements(self) -> bool: ...
    @property
    def mean(self) -> list[float]: ...
    @property
    def std(self) -> list[float]: ...
    @property
    def normalization_source(self) -> str: ...
    @property
    def sha256(self) -> str | None: ...
    @property
    def fingerprint(self) -> bytes: ...
    @property
    def notices(self) -> list[str]: ...

@final
class Images:
    @staticmethod
    def from_path(classifier: Classifier, path: Path) -> Images: ...
    @staticmethod
    def from_paths(classifier: Classifier, paths: Sequence[Path]) -> Images: ...
    @staticmethod
    def from_array(
        classifier: Classifier,
        array: NDArray[Any],
        labels: Sequence[int] | None = None,
        layout: str | None = None,
    ) -> Images: ...
    @staticmethod
    def from_decoded(
        classifier: Classifier,
        arrays: Sequence[NDArray[Any]],
        names: Sequence[str] | None = None,
        labels: Sequence[int] | None = None,
    ) -> Images: ...
    @staticmethod
    def from_encoded(classifier: Classifier, files: Sequence[tuple[str, bytes]]) -> Images: ...
    def labelled(self, labels: Sequence[int]) -> Images: ...
    def __len__(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def notes(self) -> list[str]: ...

@final
class Scored:
    @staticmethod
    def joined(parts: Sequence[Scored]) -> Scored: ...
    def __len__(self) -> int: ...
    def columns(self) -> dict[str, Any]: ...

@final
class Judged:
    def __len__(self) -> int: ...
    def columns(self) -> dict[str, Any]: ...

@final
class FitSummary:
    @staticmethod
    def from_bytes(bytes: bytes) -> FitSummary: ...
    def to_bytes(self) -> bytes: ...
    def merged(self, other: FitSummary) -> FitSummary: ...
    def absorb(self, other: FitSummary) -> None: ...
    @property
    def images(self) -> int: ...
    @property
    def has_labels(self) -> bool: ...
    @property
    def scores(self) -> list[str]: ...

@final
class Detector:
    def __init__(
        self,
        classifier: Classifier,
        temperature: float,
        magnitude: float,
        precision: str,
        engine: Engine,
        scores: Sequence[str],
        statistics: bytes,
        i_odin: bool,
    ) -> None: ...
    @property
    def is_usable(self) -> bool: ...
    @property
    def score_names(self) -> list[str]: ...
    @property
    def engine(self) -> str: ...
    @property
    def instructions(self) -> str | None: ...
    def score(
        self, images: Images, keep_errors: bool = False, progress: Progress | None = None
    ) -> Scored: ...
    def gradient(self, images: Images) -> NDArray[np.float32]: ...
    def fit(
        self,
        images: Images,
        names: Sequence[str] | None,
        parameters: dict[str, Any],
        progress: Progress | None = None,
    ) -> Fitted: ...
    def summarize(
        self,
        images: Images,
        names: Sequence[str] | None,
        parameters: dict[str, Any],
        skip_errors: bool = False,
        progress: Progress | None = None,
    ) -> FitSummary: ...
    def fit_summary(
        self, summary: FitSummary, names: Sequence[str] | None, parameters: dict[str, Any]
    ) -> Fitted: ...
    def tune(
        self,
        images: Images,
        out_images: Images | None,
        grid: tuple[Sequence[float], Sequence[float]] | None,
        objective: str | None,
        rule: str | None,
        seed: int,
        progress: Progress | None = None,
    ) -> dict[str, Any]: ...
    def calibrate(
        self,
        in_scored: Scored,
        out_scored: Scored | None,
        scores: Sequence[str],
        rule: str,
        rate: float,
        per_class: bool,
    ) -> CalibratedDetector: ...

@final
class CalibratedDetector:
    @staticmethod
    def open(
        path: Path, engine: Engine, model: Path | tuple[str, bytes] | None = None
    ) -> CalibratedDetector: ...
    @staticmethod
    def restore(
        toml: str,
        statistics: bytes | None,
        engine: Engine,
        model: Path | tuple[str, bytes] | None = None,
    ) -> CalibratedDetector: ...
    def to_saved(self) -> tuple[str, bytes | None]: ...
    @property
    def is_usable(self) -> bool: ...
    @property
    def classifier(self) -> Classifier: ...
    @property
    def temperature(self) -> float: ...
    @property
    def magnitude(self) -> float: ...
    @property
    def precision(self) -> str: ...
    @property
    def instructions(self) -> str | None: ...
    @property
    def score_names(self) -> list[str]: ...
    @property
    def thresholds(self) -> list[tuple[str, float]]: ...
    @property
    def model_path(self) -> str: ...
    @property
    def model_sha256(self) -> str: ...
    @property
    def checksum(self) -> str: ...
    def judge(
        self, images: Images, keep_errors: bool = False, progress: Progress | None = None
    ) -> Judged: ...
    def gradient(self, images: Images) -> NDArray[np.float32]: ...
    def save(self, path: Path, model: bytes | None = None) -> None: ...
    def compile(self, path: Path, p_values: bool = False) -> None: ...
