"""Batches of rows of like length."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tunewright.job.batches.by_length import LengthGroupedBatches, Share


@given(rows=st.integers(1, 500), size=st.integers(1, 7), seed=st.integers(0, 5))
def test_every_row_is_in_exactly_one_batch(rows, size, seed):
    lengths = np.random.default_rng(seed).integers(1, 100, rows)
    batches = list(LengthGroupedBatches(lengths, size, seed))
    assert sorted(row for batch in batches for row in batch) == list(range(rows))
    assert max(len(batch) for batch in batches) <= size


@given(rows=st.integers(1, 2000), size=st.integers(1, 7))
def test_the_number_of_batches_is_known(rows, size):
    sampler = LengthGroupedBatches(np.ones(rows, dtype=np.int64), size, 1)
    assert len(list(sampler)) == len(sampler)


def test_the_order_is_the_same_for_a_seed_and_new_in_every_epoch():
    lengths = np.arange(300)
    first, again, other = (LengthGroupedBatches(lengths, 8, seed) for seed in (1, 1, 2))
    assert list(first) == list(again) != list(other)
    again.epoch = 1
    assert list(first) != list(again)


def test_little_is_padding():
    lengths = np.random.default_rng(1).lognormal(3, 0.6, 5000).astype(np.int64) + 2
    batches = list(LengthGroupedBatches(lengths, 32, 1))
    padded = sum(int(lengths[batch].max()) * len(batch) for batch in batches)
    in_order = sum(int(lengths[at : at + 32].max()) * len(lengths[at : at + 32]) for at in range(0, 5000, 32))
    assert padded / lengths.sum() < 1.12 < 1.5 < in_order / lengths.sum()


def test_long_and_short_batches_alternate():
    lengths = np.arange(3200)
    means = [lengths[batch].mean() for batch in LengthGroupedBatches(lengths, 32, 1)]
    assert means != sorted(means)
    assert abs(np.mean(means[:20]) - np.mean(means)) < 1000


@given(rows=st.integers(1, 300), room=st.integers(1, 400), accumulation=st.integers(1, 4), seed=st.integers(0, 3))
def test_no_more_than_the_room_goes_through_at_a_time_and_no_step_changes(rows, room, accumulation, seed):
    lengths = np.random.default_rng(seed).integers(1, 100, rows)
    whole = LengthGroupedBatches(lengths, 7, seed, accumulation=accumulation)
    parts = LengthGroupedBatches(lengths, 7, seed, accumulation=accumulation, room=room)
    for step, same in zip(whole.steps(), parts.steps(), strict=True):
        assert [row for batch in step for row in batch] == [row for part in same for row in part]
        assert all(len(part) == 1 or len(part) * lengths[part].max() <= room for part in same)
    assert [part for step in parts.steps() for part in step] == list(parts)
    assert len(whole.steps()) == -(-len(whole) // accumulation)


@given(
    rows=st.integers(1, 60),
    size=st.integers(1, 4),
    accumulation=st.integers(1, 3),
    whole=st.booleans(),
    alike=st.booleans(),
    seed=st.integers(0, 3),
)
def test_each_row_of_a_step_is_for_one_process(rows, size, accumulation, whole, alike, seed):
    lengths = np.random.default_rng(seed).integers(1, 100, rows)
    alone = LengthGroupedBatches(lengths, 5, seed, accumulation=accumulation)
    shares = [Share(rank, size, whole=whole, alike=alike) for rank in range(size)]
    common = {"accumulation": accumulation, "room": None if whole else 150}
    several = [LengthGroupedBatches(lengths, 5, seed, share=one, **common).steps() for one in shares]
    for step, *dealt in zip(alone.steps(), *several, strict=True):
        taken = [[row for part in parts for row in part] for parts in dealt]
        assert sorted(row for some in taken for row in some) == sorted(row for batch in step for row in batch)
        assert whole or max(map(len, taken)) - min(map(len, taken)) <= 1
        assert all(part in step for parts in dealt for part in parts if whole and part)
        assert not alike or len(set(map(len, dealt))) == 1
