"""Memories: what is chosen, what they recall, and that they count only what they may know."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from graph.histories import Histories, histories_from_arrays, histories_of
from graph.memories.trend import trend
from graph.snapshot import Snapshot
from graph.storage.errors import ArtifactError
from graph.storage.times import DAY_US
from training.evaluation.protocols import Split
from training.memories import ItemToItem, Memory, Repeats, read_memories, write_memories
from training.memories_ease import Ease, learn_ease
from training.memories_fit import (
    by_factors,
    choose_memories,
    choose_popularity,
    item_group,
    kept,
    popular,
    ranking_quality,
    refit,
)
from training.memories_repeats import LearnedRepeats, learn_repeats

WINDOW = 20.0


@pytest.fixture(scope="module")
def memories(split: Split) -> tuple[Memory, ...]:
    return choose_memories(split.trained, split.validation, window_days=WINDOW, exclude_seen=False)


def test_a_recall_is_a_distribution_over_the_catalog(memories: tuple[Memory, ...], split: Split) -> None:
    queries = split.validation
    assert {m.name for m in memories} == {"follows", "near", "together", "ease", "repeats"}
    for memory in memories:
        recalled = memory.recall(queries.histories, queries.now_us)
        assert recalled.shape == (len(queries), len(split.trained.items))
        totals = np.asarray(recalled.sum(axis=1))
        filled = np.diff(recalled.indptr) > 0
        np.testing.assert_allclose(totals[filled], 1, rtol=1e-4)
        assert (recalled.data >= 0).all()


def test_where_nobody_repeats_there_is_no_memory_of_repeats(split: Split) -> None:
    chosen = choose_memories(split.trained, split.validation, window_days=WINDOW, exclude_seen=True)
    assert not any(isinstance(memory, Repeats | LearnedRepeats) for memory in chosen)


def test_the_past_of_a_memory_holds_nothing_later(shop: Snapshot, memories: tuple[Memory, ...]) -> None:
    """Counted as of a day, it is the same whether or not later events exist."""
    cut = 60 * DAY_US
    known = shop.until(cut)
    log = replace(known.log, events=known.events, withdrawn_at=known.log.withdrawn_at[: len(known.events)])
    blind = replace(known, log=log)
    for one, other in zip(refit(memories, known), refit(memories, blind), strict=True):
        for name, array in one.arrays().items():
            np.testing.assert_array_equal(array, other.arrays()[name])


def test_refit_counts_anew_and_keeps_the_settings(shop: Snapshot, memories: tuple[Memory, ...]) -> None:
    for old, new in zip(memories, refit(memories, shop), strict=True):
        assert old.settings() == new.settings()
        if isinstance(old, ItemToItem) and isinstance(new, ItemToItem):
            assert new.neighbours.sum() != old.neighbours.sum()


def buyer(days: list[int], items: list[int]) -> Histories:
    return histories_from_arrays([0] * len(days), items, np.array(days) * DAY_US, n_users=1, n_items=3)


def test_learned_repeats_know_that_an_item_is_due() -> None:
    """Everybody buys item 0 every 10 days and item 1 once only. On day 100 the one bought 9 days ago is due."""
    n = 60
    user = np.repeat(np.arange(n), 11)
    rhythm = np.arange(0, 100, 10)[None, :] + np.arange(n)[:, None] % 10
    once = (np.arange(n) * 7 % 90)[:, None]
    day = np.concatenate([rhythm, once], axis=1).ravel()
    item = np.tile(np.append(np.zeros(10, int), 1), n)
    histories = histories_from_arrays(user, item, day * DAY_US, n_users=n, n_items=3)
    memory = learn_repeats(histories, 105 * DAY_US, 12.0, np.full(3, -1, np.int32))
    assert memory is not None
    asked = buyer([60, 70, 80, 91, 92], [0, 0, 0, 0, 1])
    recalled = memory.recall(asked, np.array([100 * DAY_US])).toarray()[0]
    assert recalled[0] > 0.8
    assert recalled[2] == 0


def test_learned_repeats_beat_counting_where_coming_back_has_a_rhythm(split: Split) -> None:
    histories = histories_of(split.trained)
    memory = learn_repeats(histories, split.trained.as_of, WINDOW, item_group(split.trained))
    assert memory is not None
    queries = split.validation

    def quality(memory: Memory) -> float:
        return ranking_quality(memory.recall(queries.histories, queries.now_us), queries, new_only=False)

    assert quality(memory) > 0.9 * quality(Repeats("repeats", None))


def test_nobody_coming_back_makes_no_learned_repeats() -> None:
    histories = histories_from_arrays([0, 1], [0, 1], [DAY_US, 2 * DAY_US], n_items=3)
    assert learn_repeats(histories, 50 * DAY_US, 10.0, np.zeros(3, np.int32)) is None


def test_popularity_has_no_zeros_and_follows_the_better_half_life(split: Split) -> None:
    histories = histories_of(split.trained)
    half_life = choose_popularity(histories, split.validation, split.trained.as_of)
    p = popular(histories, split.trained.as_of, half_life)
    assert p.min() > 0
    assert p.sum() == pytest.approx(1, rel=1e-4)
    assert popular(buyer([], []), 0, 30.0).tolist() == pytest.approx([1 / 3] * 3)


def test_the_trend_is_the_share_of_new_holders_and_lifts_what_is_on_the_rise() -> None:
    """Item 0 had its 20 holders long ago, item 1 got its 20 this week; a second purchase makes no newcomer."""
    user, item = np.arange(40), np.repeat([0, 1], 20)
    day = np.repeat([10, 99], 20)
    again = (np.append(user, np.arange(20)), np.append(item, np.zeros(20, int)), np.append(day, np.full(20, 98)))
    histories = histories_from_arrays(again[0], again[1], again[2] * DAY_US, n_items=3)
    newcomers = trend(histories, 100 * DAY_US, 28 * DAY_US)
    assert newcomers.tolist() == pytest.approx([1 / 30, 21 / 30, 1 / 10])

    neighbours = sparse.csr_array(np.array([[0, 0, 0], [0, 0, 0], [1, 1, 0]], np.float32))
    level = ItemToItem("follows", 0.5, "follows", neighbours, newcomers)
    now = np.array([100 * DAY_US])
    assert level.recall(buyer([1], [2]), now).toarray()[0].tolist() == [0.5, 0.5, 0]
    rising = replace(level, trend_power=1.0).recall(buyer([1], [2]), now).toarray()[0]
    assert rising.tolist() == pytest.approx([1 / 22, 21 / 22, 0])


def test_few_users_keep_ease_whole(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    """As factors where users are fewer than items, else as its strongest weights; never both."""
    for whole, type_ in ((True, Ease), (False, ItemToItem)):
        monkeypatch.setattr("training.memories_fit.by_factors", lambda _, answer=whole: answer)
        chosen = choose_memories(split.trained, split.validation, window_days=WINDOW, exclude_seen=False)
        (old,) = (memory for memory in chosen if memory.name == "ease")
        (new,) = refit([old], split.refreshed)
        assert type(old) is type(new) is type_
        assert old.settings() == new.settings()
        queries = split.test
        before, after = (m.recall(queries.histories, queries.now_us).toarray() for m in (old, new))
        assert np.abs(before - after).max() > 1e-4


def test_ease_is_kept_whole_where_users_are_fewer_than_items() -> None:
    assert by_factors(histories_from_arrays([0, 0, 0], [0, 1, 2], [1, 2, 3]))
    assert not by_factors(histories_from_arrays([0, 1, 2], [0, 1, 1], [1, 2, 3]))


def test_what_is_learned_is_read_back_as_it_was(split: Split, tmp_path: Path) -> None:
    histories, as_of = histories_of(split.trained), split.trained.as_of
    repeats = learn_repeats(histories, as_of, WINDOW, item_group(split.trained))
    assert repeats is not None
    rising = trend(histories, as_of, 20 * DAY_US)
    ease = replace(learn_ease(histories, as_of, WINDOW, 4 * WINDOW, rising), trend_power=0.5)
    write_memories(tmp_path, (repeats, ease))
    queries = split.validation
    learned: tuple[Memory, ...] = (repeats, ease)
    for written, read in zip(learned, read_memories(tmp_path, len(split.trained.items)), strict=True):
        assert read.settings() == written.settings()
        expected = written.recall(queries.histories, queries.now_us)
        recalled = read.recall(queries.histories, queries.now_us)
        np.testing.assert_array_equal(recalled.toarray(), expected.toarray())
    write_memories(tmp_path, (ease,))
    with pytest.raises(ArtifactError, match=r"ease\.items"):
        read_memories(tmp_path, 5)


@pytest.mark.parametrize(("n_items", "neighbours"), [(25_000, 1_000), (25_001, 100)])
def test_rows_of_large_catalogs_are_short(n_items: int, neighbours: int) -> None:
    assert kept(histories_from_arrays([0], [0], [DAY_US], n_items=n_items)) == neighbours
