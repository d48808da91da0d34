"""The examples of all docstrings, with what they assume."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import numpy as np
import pytest
from support import DEMO, needed

import odin_ood

NEEDS = {"sklearn": ["sklearn"], "stream": ["pyarrow"], "scores": ["pandas"]}
FRAMEWORKS = ("ray", "_ray_fit", "_ray_inputs", "spark", "daft", "pytorch_ood")
"""Their modules have tests of their own, where the framework is installed."""
MODULES = sorted(
    module.name
    for module in pkgutil.iter_modules(odin_ood.__path__)
    if module.name not in ("_native", "__main__", *FRAMEWORKS)
)


@pytest.mark.parametrize("name", ["", *MODULES])
def test_examples(name, detector, calibrated, known, near, tmp_path, capsys) -> None:
    for library in NEEDS.get(name, ()):
        needed(library)
    module = importlib.import_module(f"odin_ood.{name}".rstrip("."))
    assumed = {
        "DEMO": DEMO,
        "calibrated": calibrated,
        "detector": detector,
        "known": known,
        "near": near,
        "np": np,
        "odin_ood": odin_ood,
        "scorer": odin_ood.BatchScorer(calibrated),
        "tmp_path": tmp_path,
    }
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    failed, _ = doctest.testmod(module, globs=module.__dict__ | assumed, optionflags=options)
    assert failed == 0, capsys.readouterr().out


def test_public_names_have_examples_or_sentences() -> None:
    """Whatever is exported is described."""
    for name in odin_ood.__all__:
        thing = getattr(odin_ood, name)
        if isinstance(thing, type):
            public = [n for n in vars(thing) if not n.startswith("_")]
            assert thing.__doc__
            assert all(getattr(thing, n).__doc__ for n in public), name
