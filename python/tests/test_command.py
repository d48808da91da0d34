"""``python -m odin_ood``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from support import DEMO, MODEL, command

import odin_ood

SCORE = ("score", "--detector", DEMO / "detector.toml")
# Arguments, the exit status, and what is said on standard output and standard error.
CASES = {
    "help": (("--help",), 0, "Usage: odin", ""),
    "help of a command": (("score", "--help"), 0, "--detector", ""),
    "version": (("--version",), 0, "odin", ""),
    "inspect": (("inspect", MODEL), 0, "DenseNet", ""),
    "score": ((*SCORE, DEMO / "near.npy", "--quiet"), 0, "odin", ""),
    "no file": ((*SCORE, "no.png"), 1, "", "no.png"),
    "no detector": (("score", "--detector", "no.toml", DEMO / "near.npy"), 1, "", "no.toml"),
    "no command": (("judge",), 2, "", "unrecognized subcommand"),
    "no option": ((*SCORE, "--nothing", "a.png"), 2, "", "--nothing"),
    "no argument": (("score",), 2, "", "--detector"),
}


@pytest.mark.parametrize("case", CASES)
def test_exit_status(case, tmp_path) -> None:
    arguments, status, out, err = CASES[case]
    done = command(*arguments, cwd=tmp_path)
    assert done.returncode == status, done.stderr
    assert out in done.stdout
    assert err in done.stderr
    assert "Traceback" not in done.stderr


def test_the_version_is_the_packages() -> None:
    assert odin_ood.__version__ in command("--version").stdout


def test_nobody_reads() -> None:
    """A pipe that is closed is no failure to tell of."""
    line = [sys.executable, "-m", "odin_ood", *map(str, SCORE), str(DEMO / "near.npy"), "--quiet"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        started.stdout.readline()
        started.stdout.close()
        assert "Traceback" not in started.stderr.read()


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_an_interrupt_ends_it(tmp_path) -> None:
    near = np.load(DEMO / "near.npy")
    np.save(tmp_path / "many.npy", np.concatenate([near] * 400))
    arguments = [*map(str, SCORE), str(tmp_path / "many.npy"), "-o", str(tmp_path / "out.csv")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    started = subprocess.Popen([sys.executable, "-m", "odin_ood", *arguments], text=True, **pipes)
    # It is at work when its output appears.
    for _ in range(600):
        if list(tmp_path.glob("out.csv*")):
            break
        time.sleep(0.05)
    assert started.poll() is None
    asked = time.monotonic()
    started.send_signal(signal.SIGINT)
    _, err = started.communicate(timeout=60)
    assert time.monotonic() - asked < 1
    assert started.returncode == -signal.SIGINT
    assert "Traceback" not in err
    assert not (tmp_path / "out.csv").exists()
