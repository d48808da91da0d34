"""Numbers as the native part takes them."""

from __future__ import annotations

import operator

from . import _native
from .errors import OdinValueError

__all__ = ["threads_or_all", "whole_number"]


def whole_number(name: str, value: int, least: int) -> int:
    """An argument that must be whole, and at least something."""
    try:
        number = operator.index(value)
    except TypeError:
        raise OdinValueError(f"{name} must be a whole number, not {value!r}") from None
    if not least <= number < 2**63:
        raise OdinValueError(f"{name} must be at least {least} and below 2^63, not {number}")
    return number


def threads_or_all(threads: int | None) -> int:
    """A number of threads; all that this process may use unless given."""
    return _native.available_threads() if threads is None else whole_number("threads", threads, 1)
