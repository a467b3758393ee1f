import pytest

from udaseg.parallel.threads import map_in_order, with_progress


def test_results_come_in_order_and_few_items_are_started_ahead():
    started = []

    def work(i):
        started.append(i)
        return i

    results = map_in_order(work, range(10_000))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    assert len(started) < 1_000
    results.close()
    assert list(map_in_order(work, range(50))) == list(range(50))


def test_the_first_error_is_raised():
    def work(i):
        if i == 5:
            raise ValueError(i)
        return i

    results = map_in_order(work, range(100))
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="5"):
        next(results)


def test_progress_is_called_for_every_result():
    calls = []
    assert list(with_progress("abc", 3, lambda done, total: calls.append((done, total)))) == ["a", "b", "c"]
    assert calls == [(1, 3), (2, 3), (3, 3)]
