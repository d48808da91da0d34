"""Warnings, at the line of the program that called this package, and counts in messages."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable

from .errors import OdinWarning

__all__ = ["counted_images", "warn"]

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def counted_images(count: int) -> str:
    """So many of them."""
    return "1 image" if count == 1 else f"{count} images"


def warn(messages: Iterable[str]) -> None:
    """Warns of each; Python shows a message once for each line that it comes from."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and os.path.abspath(frame.f_code.co_filename).startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    for message in messages:
        warnings.warn(message, OdinWarning, stacklevel=level)
