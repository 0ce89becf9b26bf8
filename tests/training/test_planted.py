"""What was planted in a made-up shop is found by what is learned from it."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import adjusted_rand_score

from graph.ingest.load import load
from graph.ingest.mapping import load_mapping
from graph.storage.database import Database
from graph.synth.options import Options as Asked
from graph.synth.write import write_shop
from training.artifact import load_artifact
from training.train_run import Options, train


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_learned_segments_are_the_planted_ones(sqlite_database: Database, tmp_path: Path) -> None:
    """How many segments there are is found too, so one that is cut in two costs some of the index."""
    shop = tmp_path / "shop"
    write_shop(Asked(users=300, items=100, categories=24, events=20_000, segments=3), shop)
    mapping = load_mapping(shop / "shop.toml")
    files = {name: shop / str(table.file) for name in mapping.tables() if (table := mapping.table(name))}
    load(sqlite_database, mapping, files, tmp_path / "rejects.jsonl")
    trained = train(
        sqlite_database, tmp_path / "artifacts", Options(net={"dim": 32, "epochs": 3}, device="cpu", force=True)
    )
    artifact = load_artifact(trained.path)
    found = np.full(len(artifact.users), -1)
    segments = artifact.segments
    found[segments.members] = np.repeat(np.arange(len(segments.segments)), np.diff(segments.member_offsets))
    truth = dict(pl.read_parquet(shop / "truth" / "users.parquet").select("user", "segment").iter_rows())
    planted = np.array([-1 if truth[user] is None else truth[user] for user in artifact.users.external.to_pylist()])
    known = (planted >= 0) & (found >= 0)
    assert known.mean() > 0.9
    score = adjusted_rand_score(planted[known], found[known])
    print(f"adjusted Rand index {score:.2f} over {len(segments.segments)} segments")
    assert score > 0.4
