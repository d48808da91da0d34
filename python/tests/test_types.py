"""Type checkers over the package and over a program that uses it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

PYTHON = Path(__file__).resolve().parents[1]
PROGRAM = Path(__file__).with_name("user_program.py")
WRONG = """
import odin_ood
detector = odin_ood.Detector.from_onnx("a.onnx", temperature="hot")
detector.calibrate("images", rule="luck")
detector.nothing
number: int = detector.score("images").odin
"""


def check(tool: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    if find_spec(tool) is None:
        if os.environ.get("ODIN_REQUIRE"):
            pytest.fail(f"{tool} is not installed")
        pytest.skip(f"{tool} is not installed")
    line = [sys.executable, "-m", tool, *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, cwd=PYTHON, timeout=300)


FRAMEWORKS = {
    **dict.fromkeys(("ray.py", "_ray_fit.py", "_ray_inputs.py"), "ray"),
    "spark.py": "pyspark",
    "daft.py": "daft",
    "pytorch_ood.py": "torch",
}


def typed_files() -> list[Path]:
    """The modules of the package, but for those whose framework is missing."""
    files = sorted((PYTHON / "odin_ood").glob("*.py*"))
    return [f for f in files if f.suffix != ".so" and find_spec(FRAMEWORKS.get(f.name, "os"))]


def test_mypy() -> None:
    done = check("mypy", "--strict", "-p", "odin_ood")
    assert done.returncode == 0, done.stdout
    done = check("mypy", "--strict", PROGRAM)
    assert done.returncode == 0, done.stdout


def test_pyright() -> None:
    done = check("pyright", "--pythonpath", sys.executable, *typed_files(), PROGRAM)
    assert done.returncode == 0, done.stdout


def test_mistakes_are_found(tmp_path) -> None:
    """The types say something: a wrong program has an error in each of its lines."""
    (tmp_path / "wrong.py").write_text(WRONG)
    done = check("mypy", "--strict", "--output", "json", tmp_path / "wrong.py")
    lines = {json.loads(line)["line"] for line in done.stdout.splitlines() if line.startswith("{")}
    assert lines == {3, 4, 5, 6}, done.stdout
