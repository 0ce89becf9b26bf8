"""What was planted in a made-up shop is found by what is learned from it, where counting alone does not find it."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score

from graph.histories import histories_of
from graph.ingest.load import load
from graph.ingest.mapping import load_mapping
from graph.snapshot import take_snapshot
from graph.storage.database import Database
from graph.synth.options import Options as Asked
from graph.synth.write import write_shop
from graph.taxonomy import ancestors_matrix
from training.artifact import load_artifact
from training.train_run import Options, train


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("segments", [3, 6])
def test_learned_segments_are_the_planted_ones(sqlite_database: Database, tmp_path: Path, segments: int) -> None:
    """Sixty events a user. How many segments there are is found too; k-means on counts is told."""
    shop = tmp_path / "shop"
    asked = Asked(users=2_000, items=1_000, categories=120, events=120_000, days=200, segments=segments)
    write_shop(asked, shop)
    mapping = load_mapping(shop / "shop.toml")
    files = {name: shop / str(table.file) for name in mapping.tables() if (table := mapping.table(name))}
    load(sqlite_database, mapping, files, tmp_path / "rejects.jsonl")
    trained = train(
        sqlite_database,
        tmp_path / "artifacts",
        Options(net={"dim": 64, "epochs": 2}, holdout_days=0, validation_days=14, device="cpu", force=True),
    )
    artifact = load_artifact(trained.path)
    found = np.full(len(artifact.users), -1)
    found[artifact.segments.members] = np.repeat(
        np.arange(len(artifact.segments.segments)), np.diff(artifact.segments.member_offsets)
    )
    truth = dict(pl.read_parquet(shop / "truth" / "users.parquet").select("user", "segment").iter_rows())
    planted = np.array([-1 if truth[user] is None else truth[user] for user in artifact.users.external.to_pylist()])
    known = (planted >= 0) & (found >= 0)
    assert known.mean() > 0.9
    snapshot = take_snapshot(sqlite_database, as_of=artifact.manifest.as_of)
    events, shape = histories_of(snapshot), (len(snapshot.users), len(snapshot.items))
    items = sparse.csr_array((np.ones(len(events.item)), (events.row_of, events.item)), shape=shape)
    within = ancestors_matrix(snapshot.item_category, snapshot.category_parent, len(snapshot.items)).astype(float)
    for name, counts in (("items", items), ("categories", items @ within)):
        clusters = KMeans(segments, n_init=3, random_state=0).fit_predict(counts.toarray()[known])
        counted = normalized_mutual_info_score(planted[known], clusters)
        print(f"k-means on users x {name}: {counted:.3f}")
        assert counted < 0.6
    score = normalized_mutual_info_score(planted[known], found[known])
    print(f"normalised mutual information {score:.3f} over {len(artifact.segments.segments)} segments")
    assert len(artifact.segments.segments) == segments
    assert score >= 0.8
