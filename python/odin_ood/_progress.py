"""Progress of long work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

__all__ = ["Progress", "behind", "reporting"]

Progress: TypeAlias = Callable[[int, int], object] | bool | None
"""A function that is called with the images done and in all; True for a bar by tqdm."""

Report: TypeAlias = Callable[[int, int], object] | None


def behind(before: int, report: Report) -> Report:
    """The report of a batch that comes behind others: their images are done, too."""
    if report is None or before == 0:
        return report
    return lambda done, total: report(before + done, before + total)


@contextmanager
def reporting(progress: Progress) -> Iterator[Report]:
    """What the native part calls."""
    if progress is None or progress is False:
        yield None
    elif progress is True:
        from tqdm.auto import tqdm

        with tqdm(unit=" images") as bar:

            def update(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            yield update
    else:
        yield progress
