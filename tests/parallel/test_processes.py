"""Shards of the processes, and blocks that do not depend on the number of processes."""

import numpy as np
import pytest

from udaseg.parallel import processes


def test_a_single_process_gets_everything(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert (processes.rank(), processes.count(), processes.is_first()) == (0, 1, True)
    assert processes.shard("abc", 2) == list("abc")
    array = np.arange(3)
    assert processes.sum_of_all(array) is array
    assert processes.broadcast(lambda: {"a": 1}) == {"a": 1}
    processes.barrier()


@pytest.mark.parametrize(("items", "count", "block"), [(0, 2, 1), (1, 3, 1), (7, 2, 1), (7, 2, 4), (10, 3, 2)])
def test_shards_hold_every_item_once_and_keep_blocks_whole(monkeypatch, items, count, block):
    monkeypatch.setenv("WORLD_SIZE", str(count))
    shares = []
    for rank in range(count):
        monkeypatch.setenv("RANK", str(rank))
        shares.append(processes.shard(range(items), block))
    assert sorted(item for share in shares for item in share) == list(range(items))
    expected_blocks = [set(range(start, min(start + block, items))) for start in range(0, items, block)]
    assert all(any(block_items <= set(share) for share in shares) for block_items in expected_blocks)


@pytest.mark.parametrize(("items", "min_size"), [(0, 4), (1, 4), (9, 4), (100, 1), (3000, 4)])
def test_blocks_cover_all_items_in_order(items, min_size):
    blocks = processes.blocks(items, min_size)
    assert [item for block in blocks for item in block] == list(range(items))
    assert len(blocks) <= processes.MAX_BLOCKS
    assert len(blocks) == 1 or min(map(len, blocks)) >= min_size


@pytest.mark.parametrize(("items", "count"), [(2, 2), (3, 2), (7, 3), (4, 1)])
def test_contiguous_shards_cover_all_items_and_differ_by_at_most_one(monkeypatch, items, count):
    monkeypatch.setenv("WORLD_SIZE", str(count))
    parts = []
    for rank in range(count):
        monkeypatch.setenv("RANK", str(rank))
        parts.append(processes.contiguous_shard(items))
    assert [item for part in parts for item in part] == list(range(items))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_single_process_block_is_not_shared(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with processes.single_process(), processes.data_parallel():
        assert (processes.count(), processes.is_data_parallel(), processes.shard("abc")) == (1, False, list("abc"))
        processes.barrier()
    with processes.data_parallel():
        assert processes.is_data_parallel()
    assert not processes.is_data_parallel()
    assert processes.count() == 2
