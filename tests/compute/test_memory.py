import pytest

from core.compute.memory import ShrinkingBatches
from core.errors import UserError


@pytest.mark.parametrize("fits", [1, 2, 3, 10])
def test_every_item_is_worked_on_once_and_in_order_however_often_memory_runs_out(fits):
    tried: list[int] = []

    def work(start: int, stop: int) -> list[int]:
        tried.append(stop - start)
        if stop - start > fits:
            raise MemoryError
        return list(range(start, stop))

    batches = ShrinkingBatches(8)
    found = list(batches.run_each(7, work))
    assert [item for _, _, items in found for item in items] == list(range(7))
    assert all(items == list(range(start, stop)) for start, stop, items in found)
    assert batches.size == {1: 1, 2: 2, 3: 2, 10: 8}[fits], "halved until it fits, for good"
    assert max(stop - start for start, stop, _ in found) <= fits
    assert tried[0] == 7, "no batch is asked for more than there is"
    assert list(batches.run_each(0, work)) == []


def test_an_item_that_does_not_fit_alone_is_one_sentence_and_other_errors_pass():
    def hungry(_start: int, _stop: int) -> None:
        raise MemoryError

    with pytest.raises(UserError, match="Memory ran out in a single image; crop"):
        list(ShrinkingBatches(4, "a single image").run_each(3, hungry))
    with pytest.raises(ZeroDivisionError):
        list(ShrinkingBatches(4).run_each(3, lambda _start, _stop: 1 / 0))
