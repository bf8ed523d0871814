from core.compute.progress import About
from widgets.what_if.per_cent import per_cent


def test_a_part_is_reported_as_its_per_cent_of_the_whole():
    seen: list[tuple[int, int]] = []
    report = per_cent(lambda done, total: seen.append((done, total)), 20, 80)  # type: ignore[arg-type]
    for done, total in ((0, 10), (5, 10), (30, About(40)), (50, About(40)), (0, 0)):
        report(done, total)
    assert seen == [(20, 100), (50, 100), (65, 100), (80, 100), (20, 100)]
