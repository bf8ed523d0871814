import numpy as np

from core.segmenter import Prediction
from widgets.shared.results import ResultStore, array_bytes


def test_bytes_of_nested_results():
    array, other = np.zeros((3, 4), np.float32), np.zeros((3, 4), np.float32)
    assert array_bytes(array) == 48
    assert array_bytes({"a": (array, [other]), "b": "text"}) == 96
    assert array_bytes(Prediction(array, other)) == 96
    assert array_bytes({"a": (array, [array]), "b": array}) == 48


def test_the_least_recently_used_goes_first():
    store = ResultStore(max_entries=2)
    for key in ("a", "b"):
        store.get_or_compute(key, lambda key=key: key)
    store.get_or_compute("a", lambda: "computed again")
    store.get_or_compute("c", lambda: "c")
    assert store.get_or_compute("a", lambda: "computed again") == "a"
    assert store.get_or_compute("b", lambda: "computed again") == "computed again"


def test_memory_is_bounded():
    store = ResultStore(max_entries=100, max_bytes=1000)
    for key in range(5):
        store.get_or_compute(key, lambda: np.zeros(50))
    assert store.get_or_compute(4, lambda: None) is not None
    assert store.get_or_compute(0, lambda: None) is None


def test_one_result_larger_than_the_bound_is_kept():
    store = ResultStore(max_entries=100, max_bytes=10)
    store.get_or_compute("large", lambda: np.zeros(50))
    assert store.get_or_compute("large", lambda: None) is not None
