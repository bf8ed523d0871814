"""Progress of long work."""

from collections.abc import Callable

Progress = Callable[[int, int], object]
"""Called with the number of steps done and the total, `AtMost` where it is only a bound, `About` where it is estimated.

What it raises stops the computation and reaches the caller.
"""


class AtMost(int):
    """A total that the work may end before."""


class About(int):
    """A total that is estimated."""


class Hundredths(int):
    """A total in hundredths of long steps, so that the pace is known before the first of them is done."""

    PER_STEP = 100


def progress_of_part(progress: Progress | None, before: int, part: int, total: int) -> Progress:
    """Progress of one part of the work, reported as progress of the whole.

    Args:
        progress: Progress of the whole; None where nobody listens.
        before: Steps done before this part.
        part: Steps of this part.
        total: Steps of the whole.
    """

    def report(done: int, of: int) -> None:
        if progress is None:
            return
        if isinstance(of, AtMost):
            progress(before + done, AtMost(total - part + of))
        elif isinstance(of, About):
            progress(before + done, AtMost(total))
        else:
            progress(before + part * done // max(of, 1), total)

    return report


def repeatable(progress: Progress) -> tuple[Progress, Progress]:
    """The progress, and one that repeats its last report, so that Cancel is heard within a step too."""
    last = 0, 1

    def report(done: int, total: int) -> None:
        nonlocal last
        last = done, total
        progress(done, total)

    return report, lambda _done, _total: progress(*last)
