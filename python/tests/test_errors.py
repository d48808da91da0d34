"""Errors: their classes, and that their messages name what is wrong."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import DEMO, MODEL, convolutional, needed

import odin_ood
from odin_ood import Detector, OdinError, OdinOSError, OdinRuntimeError, OdinValueError

needed("onnx")

HIERARCHY = {OdinValueError: ValueError, OdinOSError: OSError, OdinRuntimeError: RuntimeError}


@pytest.mark.parametrize("error", HIERARCHY)
def test_hierarchy(error) -> None:
    assert issubclass(error, OdinError)
    assert issubclass(error, HIERARCHY[error])
    assert getattr(odin_ood.errors, error.__name__) is error is getattr(odin_ood, error.__name__)
    again = pickle.loads(pickle.dumps(error("what is wrong")))
    assert type(again) is error
    assert str(again) == "what is wrong"


def test_the_module_lists_all() -> None:
    assert set(odin_ood.errors.__all__) == {"OdinError", "OdinWarning", *(error.__name__ for error in HIERARCHY)}


def write(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def saved(folder: Path, change: Any) -> Path:
    calibrated = Detector.from_onnx(MODEL, threads=1).calibrate(DEMO / "in.npy")
    calibrated.save(folder / "detector.toml")
    text = (folder / "detector.toml").read_text(encoding="utf-8")
    (folder / "detector.toml").write_text(change(text), encoding="utf-8")
    return folder / "detector.toml"


def open_demo(**options: Any) -> Detector:
    return Detector.from_checkpoint(MODEL, threads=1, **options)


# What is done in an empty folder, the error, and what its message has.
FAULTS: dict[str, tuple[Any, type[OdinError], str]] = {
    "no model": (lambda f: Detector.from_onnx(f / "no.onnx"), OdinOSError, r"no\.onnx"),
    "a folder": (lambda f: Detector.from_onnx(f), OdinOSError, "."),
    "no ONNX": (lambda f: Detector.from_onnx(write(f, "a.onnx", b"abc")), OdinValueError, r"a\.onnx"),
    "no bytes": (lambda f: Detector.from_onnx(b""), OdinValueError, "."),
    "cut": (lambda f: Detector.from_onnx(write(f, "c.onnx", convolutional(1, 8)[:300])), OdinValueError, "c.onnx"),
    "cut weights": (lambda f: Detector.from_onnx(MODEL.read_bytes()[:9999]), OdinValueError, "model"),
    "a detector": (lambda f: Detector.from_onnx(DEMO / "detector.toml"), OdinValueError, "detector"),
    "images": (lambda f: Detector.from_onnx(DEMO / "in.npy"), OdinValueError, r"in\.npy"),
    "temperature": (lambda f: open_demo(temperature=0), OdinValueError, "temperature"),
    "NaN": (lambda f: open_demo(temperature=float("nan")), OdinValueError, "temperature"),
    "magnitude": (lambda f: open_demo(magnitude=-0.1), OdinValueError, "magnitude"),
    "precision": (lambda f: open_demo(precision="half"), OdinValueError, "exact or fast"),
    "precision of a device": (
        lambda f: open_demo(precision="fast", device="cpu-ort"),
        OdinValueError,
        "built-in engine",
    ),
    "threads": (lambda f: Detector.from_onnx(MODEL, threads=0), OdinValueError, "threads"),
    "batch": (lambda f: open_demo(batch_size=-3), OdinValueError, "batch_size"),
    "mean alone": (lambda f: open_demo(mean=[0.5]), OdinValueError, "std"),
    "std of 0": (lambda f: open_demo(mean=[0.5], std=[0.0]), OdinValueError, "standard deviation|std"),
    "three channels": (lambda f: open_demo(mean=[0.5] * 3, std=[1.0] * 3), OdinValueError, "channel"),
    "transform": (lambda f: open_demo(transform="turn:3"), OdinValueError, "turn"),
    "layout": (lambda f: open_demo(layout="CNHW"), OdinValueError, "CNHW"),
    "channels": (lambda f: open_demo(channels="gbr"), OdinValueError, "gbr"),
    "names": (lambda f: open_demo(class_names=["a"]), OdinValueError, "class"),
    "device": (lambda f: open_demo(device="abacus"), OdinValueError, "abacus"),
    "no such graphics processor": (lambda f: open_demo(device="gpu:99"), OdinOSError, "number 99"),
    "output": (lambda f: Detector.from_onnx(convolutional(1, 8), output="none"), OdinValueError, "none"),
    "no TOML": (lambda f: odin_ood.load(write(f, "d.toml", b"a = ")), OdinValueError, r"d\.toml"),
    "changed": (lambda f: odin_ood.load(saved(f, lambda t: t.replace("1000", "1001"))), OdinValueError, r"detector\.toml"),
    "another model": (
        lambda f: odin_ood.load(saved(f, str), model=write(f, "b.onnx", convolutional(1, 8))),
        OdinValueError,
        r"b\.onnx",
    ),
    "model gone": (lambda f: odin_ood.load(saved(f, str), model=f / "gone"), OdinOSError, "gone"),
    "save nowhere": (
        lambda f: open_demo().calibrate(DEMO / "in.npy").save(f / "no" / "d.toml"),
        OdinOSError,
        "no",
    ),
    "compile nowhere": (
        lambda f: open_demo().calibrate(DEMO / "in.npy").compile(f / "no" / "d.onnx"),
        OdinOSError,
        "no",
    ),
    "score": (lambda f: open_demo().calibrate(DEMO / "in.npy", score="vim"), OdinValueError, "vim.*msp"),
    "rule": (lambda f: open_demo().calibrate(DEMO / "in.npy", rule="best"), OdinValueError, "best.*tpr"),
    "rule of two sides": (lambda f: open_demo().calibrate(DEMO / "in.npy", rule="fpr"), OdinValueError, "."),
    "tpr": (lambda f: open_demo().calibrate(DEMO / "in.npy", tpr=1.5), OdinValueError, "1.5"),
    "calibrate on nothing": (lambda f: open_demo().calibrate(iter([])), OdinValueError, "no image"),
    "fitted score": (lambda f: open_demo().fit(DEMO / "in.npy", scores=["none"]), OdinValueError, "none"),
    "parameter": (lambda f: open_demo().fit(DEMO / "in.npy", k=3), OdinValueError, "k.*knn_k"),
    "value of a parameter": (
        lambda f: open_demo().fit(DEMO / "in.npy", scores=["knn"], knn_k=0),
        OdinValueError,
        ".",
    ),
    "objective": (lambda f: open_demo().tune(DEMO / "in.npy", objective="luck"), OdinValueError, "luck"),
    "tuning rule": (lambda f: open_demo().tune(DEMO / "in.npy", rule="luck"), OdinValueError, "luck"),
    "seed": (lambda f: open_demo().tune(DEMO / "in.npy", seed=-1), OdinValueError, "seed"),
    "grid": (lambda f: open_demo().tune(DEMO / "in.npy", temperatures=[-1]), OdinValueError, "-1"),
    "gradient of nothing": (lambda f: open_demo().gradient(iter([])), OdinValueError, "no image"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(fault, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    act, error, message = FAULTS[fault]
    with pytest.raises(error, match=message) as raised:
        act(tmp_path)
    assert type(raised.value) is error
    assert isinstance(raised.value, HIERARCHY[error])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(tmp_path) -> None:
    path = write(tmp_path, "m.onnx", convolutional(1, 8))
    path.chmod(0)
    with pytest.raises(OdinOSError, match=r"m\.onnx"):
        Detector.from_onnx(path)


CONSTRUCTORS = {"Detector": Detector, "CalibratedDetector": odin_ood.CalibratedDetector}


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_there_is_no_constructor(name) -> None:
    with pytest.raises(TypeError, match="from_onnx|calibrate"):
        CONSTRUCTORS[name]()


@pytest.mark.filterwarnings("ignore:k is 4")
def test_warnings_of_scores_that_do_not_fit(known) -> None:
    with pytest.warns(UserWarning, match="is left out"):
        Detector.from_onnx(convolutional(1, 8), threads=1).fit(np.asarray(known[:4]))
