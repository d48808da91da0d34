"""``python -m odin_ood``: the ``odin`` command line."""

import signal
import sys

from ._native import run_command


def main() -> int:
    """Runs the command line with the arguments of this process; its exit status."""
    # An interrupt ends the program at once, as it ends the program that is not in Python.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return run_command(["odin", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
