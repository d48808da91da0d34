"""What docs/many_machines.md states: images a second of one process and of Ray, and where time goes.

    PYTHONPATH=python python benches/ray/measure.py ../shared/refdata FOLDER [--ray]

Needs numpy and pyarrow, and with --ray Ray Data. FOLDER gets a detector and scores.
"""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path

import numpy as np

import odin_ood

REFDATA, WORK = Path(sys.argv[1]), Path(sys.argv[2])
WEIGHTS = {"resnet20": "resnet20_cifar10.th", "densenet": "densenet_bc_100_12_cifar10.pth"}
IMAGES = REFDATA / "sets" / "Imagenet_resize"


def seconds(function: object, rounds: int = 3) -> float:
    """The best of some rounds, in CPU seconds of this process: others may use the machine."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        function()  # type: ignore[operator]
        times.append(time.process_time() - start)
    return min(times)


def one_process() -> None:
    files = sorted(IMAGES.rglob("*.png"))
    encoded = [file.read_bytes() for file in files[:256]]
    size = sum(file.stat().st_size for file in files) / len(files)
    print(f"{len(files)} images, {size:.0f} bytes each on average")
    for name, weights in WEIGHTS.items():
        detector = odin_ood.Detector.from_checkpoint(REFDATA / "weights" / weights, threads=1)
        n = 256 if name == "resnet20" else 32
        pixels = np.random.default_rng(0).integers(0, 256, (n, 32, 32, 3), np.uint8)
        detector.score(pixels)
        whole = seconds(lambda: detector.score(files[:n])) / n
        alone = seconds(lambda: detector.score(pixels)) / n
        print(f"{name}: {whole * 1e3:.2f} ms of CPU an image, {1 / whole:.0f} images/s/core")
        print(f"{name}: {alone * 1e3:.2f} ms of them without reading and decoding")
    resnet = odin_ood.Detector.from_checkpoint(REFDATA / "weights" / WEIGHTS["resnet20"], threads=1)
    calibrated = resnet.calibrate(files[:256])
    calibrated.save(WORK / "detector.toml")
    scorer = odin_ood.BatchScorer(calibrated, threads=1)
    table = scorer.arrow(encoded)
    import pyarrow
    import pyarrow.parquet

    rows = pyarrow.Table.from_batches([table] * 40)
    paths = pyarrow.array([str(files[i % 256]) for i in range(len(rows))])
    rows = rows.append_column("path", paths)
    buffer = io.BytesIO()
    took = seconds(lambda: pyarrow.parquet.write_table(rows, io.BytesIO(), compression="zstd"))
    pyarrow.parquet.write_table(rows, buffer, compression="zstd")
    print(f"Parquet: {took / len(rows) * 1e6:.2f} µs of CPU and {buffer.tell() / len(rows):.0f} bytes a row")


def with_ray() -> None:
    import odin_ood.ray
    import pyarrow
    import pyarrow.parquet
    import ray

    # Files of 512 rows, each a row group, of so many images that starting up does not count.
    encoded = [file.read_bytes() for file in sorted(IMAGES.rglob("*.png"))]
    images = WORK / "images"
    images.mkdir(exist_ok=True)
    for part in range(40):
        rows = [(part * 512 + i) for i in range(512)]
        table = pyarrow.table(
            {"id": [f"{row:06}" for row in rows], "image": [encoded[row % len(encoded)] for row in rows]}
        )
        pyarrow.parquet.write_table(table, images / f"{part:02}.parquet")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    for workers in (1, 2) * 3:
        output = WORK / f"scores-{workers}-{time.time_ns()}"
        start = time.perf_counter()
        job = odin_ood.ray.score(
            images, WORK / "detector.toml", output, id_column="id", workers=workers, rows_per_file=512
        )
        whole = time.perf_counter() - start
        ends = sorted(path.stat().st_mtime for path in output.glob("part-*"))
        rate = 512 * (len(ends) - 1) / (ends[-1] - ends[0])
        print(f"{workers} workers: {job.images} images, {whole:.1f} s with starting, {rate:.0f} images/s")


if "--ray" in sys.argv:
    with_ray()
else:
    one_process()
