"""Progress in per cent, of work whose parts are counted in different steps."""

from core.compute.progress import Progress
from widgets.shared.results import Report


def per_cent(report: Report, start: int, stop: int) -> Progress:
    """Progress of a part of the work, reported as `start` to `stop` per cent of the whole, however it is counted.

    Where a total is only estimated, so are the per cent.
    """

    def progress(done: int, total: int) -> None:
        share = min(done / max(total, 1), 1.0)
        report(int(start + (stop - start) * share), 100)

    return progress
