"""Pickling, processes, threads, interrupts and progress."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from support import MODEL, program

import odin_ood

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


def of_bytes() -> odin_ood.Detector:
    return odin_ood.Detector.from_checkpoint(MODEL.read_bytes(), threads=2)


@pytest.fixture(scope="module")
def loaded(calibrated, tmp_path_factory) -> odin_ood.CalibratedDetector:
    folder = tmp_path_factory.mktemp("saved")
    calibrated.save(folder / "detector.toml")
    return odin_ood.load(folder / "detector.toml", threads=2)


@pytest.fixture(scope="module")
def detectors(detector, calibrated, known, loaded) -> dict[str, Any]:
    by_bytes = of_bytes()
    return {
        "path": detector,
        "bytes": by_bytes,
        "another setting": detector.with_setting(10, 0.01),
        "fitted": detector.fit(known[:100], scores=["knn", "vim"], knn_k=5),
        "tuned": detector.tune(known[:20], rule="fixed"),
        "calibrated": calibrated,
        "calibrated from bytes": by_bytes.calibrate(known[:50], 0.9),
        "calibrated by a fitted score": by_bytes.fit(known, scores=["knn"], knn_k=5).calibrate(known, score="knn"),
        "loaded": loaded,
    }


KINDS = (
    "path",
    "bytes",
    "another setting",
    "fitted",
    "tuned",
    "calibrated",
    "calibrated from bytes",
    "calibrated by a fitted score",
    "loaded",
)
CALIBRATED = KINDS[5:]


def outcome(detector: Any, images: np.ndarray) -> odin_ood.Scores:
    return getattr(detector, "judge", detector.score)(images)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_pickled(kind, protocol, detectors, near) -> None:
    detector = detectors[kind]
    data = pickle.dumps(detector, protocol)
    again = pickle.loads(data)
    assert outcome(again, near[:20]) == outcome(detector, near[:20])
    assert repr(again) == repr(detector)
    assert again.threads == detector.threads
    # What was never opened is handed on, too.
    unopened = pickle.loads(pickle.dumps(pickle.loads(data)))
    assert outcome(unopened, near[:20]) == outcome(detector, near[:20])


def test_a_path_is_pickled_and_not_the_model(detector, calibrated) -> None:
    assert len(pickle.dumps(detector)) < 2000
    assert len(pickle.dumps(calibrated)) < 100_000 < len(pickle.dumps(of_bytes()))


@pytest.mark.parametrize("is_calibrated", [False, True])
def test_a_changed_model_is_refused(is_calibrated, tmp_path, known, near) -> None:
    model = tmp_path / MODEL.name
    shutil.copy(MODEL, model)
    detector: Any = odin_ood.Detector.from_checkpoint(model, threads=1)
    detector = detector.calibrate(known[:20]) if is_calibrated else detector
    data = pickle.dumps(detector)
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(content)
    with pytest.raises(odin_ood.OdinValueError, match=MODEL.name):
        outcome(pickle.loads(data), near[:1])
    model.unlink()
    with pytest.raises(odin_ood.OdinOSError, match=MODEL.name):
        outcome(pickle.loads(data), near[:1])


def in_process(work: Any) -> list[list[float]]:
    detector, images = work
    return [outcome(detector, images).odin.tolist(), outcome(detector, images[::-1]).odin.tolist()]


@posix
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_processes(method, detectors, near) -> None:
    """Detectors that this process has used are used in others, and in this one afterwards."""
    kinds = ("path", "bytes", "fitted", "loaded")
    expected = [in_process((detectors[kind], near[:40])) for kind in kinds]
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.map_async(in_process, [(detectors[kind], near[:40]) for kind in kinds]).get(60)
    assert found == expected
    assert [in_process((detectors[kind], near[:40])) for kind in kinds] == expected


IN_CHILD: dict[str, Any] = {}


def inherited(kind: str) -> list[list[float]]:
    return in_process((IN_CHILD[kind], IN_CHILD["images"]))


@posix
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_process_uses_the_detectors_it_inherits(detectors, near) -> None:
    kinds = ("path", "bytes", "fitted", "calibrated", "loaded")
    IN_CHILD.update(detectors, images=near[:40])
    expected = [inherited(kind) for kind in kinds]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map_async(inherited, kinds).get(60) == expected


@posix
def test_a_fork_while_the_engine_works() -> None:
    """The child scores, exits in order, and may fork again."""
    code = """
expected = detector.score(near).odin
worker = threading.Thread(target=lambda: detector.score(many), daemon=True)
worker.start()
time.sleep(0.1)
child = os.fork()
if child == 0:
    grandchild = os.fork()
    same = np.array_equal(detector.score(near).odin, expected)
    if grandchild == 0:
        os._exit(0 if same else 1)
    ended = os.waitpid(grandchild, 0)[1]
    del detector
    sys.exit(0 if same and ended == 0 else 1)
assert os.waitpid(child, 0)[1] == 0
assert np.array_equal(detector.score(near).odin, expected)
print("done", flush=True)
os._exit(0)
"""
    started = program(code)
    out, err = started.communicate(timeout=60)
    assert out == "done\n", err


def test_threads(detectors, near) -> None:
    pieces = [near[i : i + 30] for i in range(0, 300, 30)]
    for kind in ("path", "calibrated"):
        fresh = pickle.loads(pickle.dumps(detectors[kind]))
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda piece: outcome(fresh, piece).odin, pieces * 3))
        assert np.array_equal(np.concatenate(found[:10]), outcome(detectors[kind], near[:300]).odin)


LONG = {
    "score": "detector.score(many)",
    "score of batches": "detector.score(near for _ in range(10**6))",
    "score of a list": "detector.score([*many[:20000], near[0][..., None]])",
    "gradient": "detector.gradient(many)",
    "fit": "detector.fit(many, scores=['knn'])",
    "tune": "detector.tune(many, many)",
    "calibrate": "detector.calibrate(many)",
    "bootstrap": "odin_ood.metrics.evaluate(np.random.rand(10**5), np.random.rand(10**5), ci=10**6)",
    "within progress": "detector.score(many, progress=lambda done, total: None)",
}

GOES_ON = {"tune"}
"""What the native part goes on with although nobody waits for it any more: a search to the end of a
batch, which is scored at each setting of the grid."""


@posix
@pytest.mark.parametrize("work", LONG)
def test_an_interrupt_ends_long_work(work) -> None:
    code = f"""
print("ready", flush=True)
try:
    {LONG[work]}
except KeyboardInterrupt:
    print("interrupted", flush=True)
    # The detector is as good as before.
    assert len(detector.score(near[:3])) == 3
    # The work ends with its batch; nothing goes on behind the caller's back.
    time.sleep(0.5)
    before = time.process_time()
    time.sleep(0.5)
    print("rest" if time.process_time() - before < 0.1 else "unrest", flush=True)
    os._exit(0)
print("ended by itself", flush=True)
"""
    started = program(code)
    assert started.stdout.readline() == "ready\n", started.communicate()
    time.sleep(0.7)
    asked = time.monotonic()
    started.send_signal(signal.SIGINT)
    line = started.stdout.readline()
    took = time.monotonic() - asked
    rest, err = started.communicate(timeout=60)
    assert line == "interrupted\n", err
    assert rest in ({"rest\n", "unrest\n"} if work in GOES_ON else {"rest\n"}), err
    assert took < 1


@posix
def test_an_interrupt_ends_the_program() -> None:
    """Without a handler: a traceback, and no wait for the engine."""
    started = program("print('ready', flush=True)\ndetector.score(many)")
    assert started.stdout.readline() == "ready\n"
    time.sleep(0.5)
    asked = time.monotonic()
    started.send_signal(signal.SIGINT)
    _, err = started.communicate(timeout=60)
    # All images take more than a minute.
    assert time.monotonic() - asked < 15
    assert started.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in err


def test_python_goes_on_while_images_are_scored(detector, near) -> None:
    steps = 0
    ended = threading.Event()

    def count() -> None:
        nonlocal steps
        while not ended.is_set():
            steps += 1
            time.sleep(0.001)

    other = threading.Thread(target=count)
    other.start()
    started = time.monotonic()
    detector.score(np.concatenate([near] * 3))
    took = time.monotonic() - started
    ended.set()
    other.join()
    # Were the lock held, there would be next to none.
    assert steps > took * 50


FORMS = {
    "array": (lambda images: images, [300]),
    "list": (list, [300]),
    "batches": (lambda images: iter([images[:100], images[100:250], images[250:]]), [100, 250, 300]),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("call", ["score", "judge", "calibrate", "fit"])
def test_progress(form, call, detector, calibrated, near) -> None:
    as_form, totals = FORMS[form]
    reports: list[tuple[int, int]] = []
    owner = calibrated if call == "judge" else detector
    options = {"scores": ["knn"], "knn_k": 5} if call == "fit" else {}
    getattr(owner, call)(as_form(near[:300]), progress=lambda *report: reports.append(report), **options)
    assert reports[-1] == (300, 300)
    assert [done for done, _ in reports] == sorted(done for done, _ in reports)
    assert {total for _, total in reports} == set([300] if call == "fit" else totals)


@pytest.mark.parametrize("call", ["score", "tune", "fit", "calibrate"])
def test_an_exception_of_progress_ends_the_work(call, detector, near) -> None:
    class Enough(Exception):
        pass

    def report(done: int, total: int) -> None:
        raise Enough(done)

    with pytest.raises(Enough):
        getattr(detector, call)(near, progress=report)
    assert len(detector.score(near[:2])) == 2


def test_a_bar_by_tqdm(detector, near, capsys) -> None:
    pytest.importorskip("tqdm")
    detector.score((near[i : i + 50] for i in range(0, 200, 50)), progress=True)
    assert "200/200" in capsys.readouterr().err


def test_an_exception_of_a_generator_is_handed_on(detector, near) -> None:
    def images() -> Any:
        yield near[0]
        raise LookupError("of the generator")

    with pytest.raises(LookupError, match="of the generator"):
        detector.score(images())


def test_imports_are_few() -> None:
    """NumPy is all that is needed: no other library is imported before it is used."""
    code = "import sys, odin_ood; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    others = {"pandas", "polars", "pyarrow", "torch", "sklearn", "PIL", "tqdm", "onnx", "onnxruntime", "ray"}
    assert not others & set(done.stdout.split())
