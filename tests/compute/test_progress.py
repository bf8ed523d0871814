"""Progress of parts as progress of the whole: counts that never lie."""

from core.compute.progress import About, AtMost, progress_of_part


def test_a_part_counts_in_steps_of_the_whole():
    told: list[tuple[int, int]] = []
    report = progress_of_part(lambda done, total: told.append((done, total)), 10, 6, 20)
    report(1, 3)
    report(3, 3)
    assert told == [(12, 20), (16, 20)]


def test_a_part_that_may_end_early_leaves_a_bound_for_the_whole():
    told: list[tuple[int, int]] = []
    report = progress_of_part(lambda done, total: told.append((done, total)), 16, 600, 1216)
    report(8, AtMost(600))
    report(8, AtMost(408))
    report(30, About(60))
    assert told == [(24, 1216), (24, 1024), (46, 1216)]
    assert all(isinstance(total, AtMost) for _, total in told)
