"""Scores the same images over and over, in every way, and prints how the memory grows.

    python tests/soak.py [MINUTES]

Not a test: its answer is the growth after the first minute, which should stay at some hundred KiB.
"""

from __future__ import annotations

import os
import pickle
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from support import DEMO, MODEL

import odin_ood


def resident() -> int:
    """KiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def failing(act: Callable[[], object]) -> None:
    try:
        act()
    except (odin_ood.OdinError, ZeroDivisionError):
        return
    raise AssertionError("this must fail")


def main(minutes: float) -> None:
    near = np.load(DEMO / "near.npy")[:64]
    damaged = np.full((4, 1, 8, 8), 7.0)
    detector = odin_ood.Detector.from_checkpoint(MODEL, threads=2)
    calibrated = detector.calibrate(DEMO / "in.npy")
    data = pickle.dumps(calibrated)
    ways: dict[str, Callable[[], object]] = {
        "array": lambda: detector.score(near),
        "floats": lambda: detector.score(near / 255),
        "list": lambda: detector.score([*near[:8], near[0, 0]]),
        "batches": lambda: detector.score(near[i : i + 16] for i in (0, 16, 32, 48)),
        "judge": lambda: calibrated.judge(near, progress=lambda done, total: None),
        "columns": lambda: detector.score(near).__arrow_c_stream__(),
        "kept errors": lambda: detector.score(damaged, errors="keep"),
        "errors": lambda: failing(lambda: detector.score(damaged)),
        "an exception": lambda: failing(lambda: detector.score(near, progress=lambda done, total: 1 // 0)),
        "gradient": lambda: detector.gradient(near[:4]),
        "pickled": lambda: pickle.loads(data).score(near[:2]),
        "calibrate": lambda: detector.calibrate(near),
        "metrics": lambda: odin_ood.metrics.evaluate(near[:, 0, 0, 0], near[:, 0, 3, 3], ci=40),
    }
    calls, started, told = 0, time.monotonic(), 0.0
    first = None
    print(f"{'minutes':>8} {'calls':>8} {'RSS, KiB':>9} {'growth since minute 1':>22}")
    while (passed := (time.monotonic() - started) / 60) < minutes:
        for way in ways.values():
            way()
            calls += 1
        if passed - told >= 0.5:
            told = passed
            if first is None and passed >= 1:
                first = resident()
            growth = "" if first is None else f"{resident() - first:+}"
            print(f"{passed:8.1f} {calls:8} {resident():9} {growth:>22}", flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 5)
