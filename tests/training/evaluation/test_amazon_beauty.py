"""The published protocol on real data: figures that independent code has measured, within what ties explain.

The references let some ties pass for hits; here they count against the target, so popularity and item-kNN may be lower.
"""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from graph.snapshot import Snapshot
from training.evaluation.baselines import BASELINES
from training.evaluation.evaluate import evaluate
from training.evaluation.protocols import AS_TRAINED, REFRESHED, Order, Split, leave_one_out

pytestmark = [pytest.mark.shared_data, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def beauty(shared_data: Path, make_snapshot: Callable[..., Snapshot]) -> Snapshot:
    path = shared_data / "amazon-beauty" / "interactions.tsv"
    if not path.exists():
        pytest.skip("amazon-beauty is not among the data sets")
    table = pl.read_csv(path, separator="\t").with_columns(pl.col("timestamp") / 86_400)
    rows = table.select(pl.col("user_id") - 1, pl.col("item_id") - 1, "timestamp").to_numpy()
    last = float(rows[:, 2].max()) + 1
    return make_snapshot(rows, n_items=12_101, as_of_day=last, sequence=table["position"].to_numpy())


def measured(split: Split, column: str, name: str) -> tuple[float, float]:
    rankers = {column: [BASELINES[name](split.columns[column])]}
    (result,) = evaluate(split.test, rankers, seen="exclude")
    return result.means["recall@10"], result.means["ndcg@10"]


@pytest.mark.parametrize(
    ("order", "name", "trained", "refreshed"),
    [
        ("published", "sequential-rules", (0.0842, 0.0531), (0.0943, 0.0589)),
        ("shuffled", "two-way-rules", (0.0829, 0.0509), (0.0907, 0.0557)),
    ],
)
def test_sequential_rules_are_no_weaker_than_their_reference(
    beauty: Snapshot, order: Order, name: str, trained: tuple[float, float], refreshed: tuple[float, float]
) -> None:
    split = leave_one_out(beauty, order=order)
    assert len(split.test) == 22_363
    for column, reference in ((AS_TRAINED, trained), (REFRESHED, refreshed)):
        for ours, theirs in zip(measured(split, column, name), reference, strict=True):
            assert theirs - 0.0003 <= ours <= theirs + 0.004


@pytest.mark.parametrize(
    ("name", "reference"),
    [("popularity", (0.0120, 0.0056)), ("item-knn", (0.0633, 0.0362)), ("ease", (0.0670, 0.0356))],
)
def test_baselines_agree_with_their_references(beauty: Snapshot, name: str, reference: tuple[float, float]) -> None:
    recall, ndcg = measured(leave_one_out(beauty), AS_TRAINED, name)
    assert recall == pytest.approx(reference[0], abs=0.0025)
    assert ndcg == pytest.approx(reference[1], abs=0.0005)
