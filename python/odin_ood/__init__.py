"""Out-of-distribution detection for trained image classifiers: ODIN and others, calibrated.

>>> import odin_ood
>>> detector = odin_ood.Detector.from_checkpoint(DEMO / "model.safetensors", threads=2)
>>> scores = detector.score(DEMO / "near.npy")
>>> len(scores), scores.odin.shape
(714, (714,))
>>> calibrated = detector.calibrate(DEMO / "in.npy", tpr=0.95)
>>> verdicts = calibrated.judge(DEMO / "near.npy")
>>> bool(verdicts.is_in_distribution[0])
False

High scores mean in-distribution, everywhere. ODIN is Liang, Li, Srikant, *Enhancing the Reliability
of Out-of-distribution Image Detection in Neural Networks*, ICLR 2018. Everything is computed by the
Rust library ``odin``; this package adds arrays, data frames and docstrings.
"""

from . import errors, metrics
from ._native import __version__
from .detector import CalibratedDetector, Detector, load
from .errors import OdinError, OdinOSError, OdinRuntimeError, OdinValueError, OdinWarning
from .fitting import FitSummary
from .scores import Scores, Verdicts
from .stream import BatchScorer

__all__ = [
    "BatchScorer",
    "CalibratedDetector",
    "Detector",
    "FitSummary",
    "OdinError",
    "OdinOSError",
    "OdinRuntimeError",
    "OdinValueError",
    "OdinWarning",
    "Scores",
    "Verdicts",
    "__version__",
    "errors",
    "load",
    "metrics",
]
