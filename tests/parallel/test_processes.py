"""The share of each process, and sums that do not depend on how many there are."""

import numpy as np
import pytest

from udaseg.parallel import processes


def test_one_process_has_everything(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert (processes.rank(), processes.count(), processes.is_first()) == (0, 1, True)
    assert processes.shard("abc", 2) == list("abc")
    array = np.arange(3)
    assert processes.sum_of_all(array) is array
    assert processes.broadcast(lambda: {"a": 1}) == {"a": 1}
    processes.barrier()


@pytest.mark.parametrize(("items", "count", "block"), [(0, 2, 1), (1, 3, 1), (7, 2, 1), (7, 2, 4), (10, 3, 2)])
def test_every_item_belongs_to_one_process(monkeypatch, items, count, block):
    monkeypatch.setenv("WORLD_SIZE", str(count))
    shares = []
    for rank in range(count):
        monkeypatch.setenv("RANK", str(rank))
        shares.append(processes.shard(range(items), block))
    assert sorted(item for share in shares for item in share) == list(range(items))
    whole = [set(range(start, min(start + block, items))) for start in range(0, items, block)]
    assert all(any(run <= set(share) for share in shares) for run in whole)


@pytest.mark.parametrize(("items", "least"), [(0, 4), (1, 4), (9, 4), (100, 1), (3000, 4)])
def test_blocks_cover_all_in_order(items, least):
    blocks = processes.blocks(items, least)
    assert [item for block in blocks for item in block] == list(range(items))
    assert len(blocks) <= processes.BLOCKS
    assert len(blocks) == 1 or min(map(len, blocks)) >= least


@pytest.mark.parametrize(("items", "count"), [(2, 2), (3, 2), (7, 3), (4, 1)])
def test_parts_lie_side_by_side_and_are_of_one_size_or_one_less(monkeypatch, items, count):
    monkeypatch.setenv("WORLD_SIZE", str(count))
    parts = []
    for rank in range(count):
        monkeypatch.setenv("RANK", str(rank))
        parts.append(processes.part_of(items))
    assert [item for part in parts for item in part] == list(range(items))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_what_one_does_alone_is_not_shared(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with processes.single_process(), processes.data_parallel():
        assert (processes.count(), processes.is_data_parallel(), processes.shard("abc")) == (1, False, list("abc"))
        processes.barrier()
    with processes.data_parallel():
        assert processes.is_data_parallel()
    assert not processes.is_data_parallel()
    assert processes.count() == 2
