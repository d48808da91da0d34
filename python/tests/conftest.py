"""What every test starts from: the demonstration's network and images, opened once."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import odin_ood

REPOSITORY = Path(__file__).resolve().parents[2]
DEMO = REPOSITORY / "demo"
REFDATA = REPOSITORY.parent / "shared" / "refdata"


@pytest.fixture(scope="session")
def near() -> np.ndarray:
    return np.load(DEMO / "near.npy")


@pytest.fixture(scope="session")
def known() -> np.ndarray:
    return np.load(DEMO / "in.npy")


@pytest.fixture(scope="session")
def detector() -> odin_ood.Detector:
    return odin_ood.Detector.from_checkpoint(DEMO / "model.safetensors", threads=2)


@pytest.fixture(scope="session")
def calibrated(detector: odin_ood.Detector, known: np.ndarray) -> odin_ood.CalibratedDetector:
    return detector.calibrate(known[:200])


@pytest.fixture(scope="session")
def refdata() -> Path:
    """Real weights and images; their absence is a failure where ODIN_REQUIRE is set."""
    if not REFDATA.is_dir():
        if os.environ.get("ODIN_REQUIRE"):
            pytest.fail(f"there is no {REFDATA}")
        pytest.skip(f"there is no {REFDATA}")
    return REFDATA
