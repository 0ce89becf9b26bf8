"""Several interests against one vector of as many floats: for users of broad tastes, and for the others.

    python -m benchmarks.quality.several_interests

Made-up shops, whose users follow several interests each. In each of them the net alone learns one vector a user, then
several of a part of the width, and ranks what each user does in the last days. Broad are the users whose history
spreads over more top categories than that of half of them (entropy). One row a width, with the 95 % interval of a
paired bootstrap over the users of all shops.
"""

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from scipy.sparse import csr_array

from benchmarks.quality.cold_start import NetAlone
from benchmarks.quality.data_sets import data_set_of
from benchmarks.quality.measure import load
from graph.arrays import Bools, Float64s
from graph.histories import Histories, histories_of
from graph.snapshot import Snapshot, take_snapshot
from graph.storage.cli_errors import explained
from graph.storage.database import Database
from graph.storage.times import DAY_US
from graph.synth.options import Options
from graph.synth.write import write_shop
from graph.taxonomy import ancestors_matrix
from training.code_revision import git_revision
from training.evaluation.bootstrap import paired_bootstrap
from training.evaluation.evaluate import evaluate
from training.evaluation.protocols import Split, time_split
from training.fit import fit
from training.interest_weights import supported
from training.memories_fit import sample
from training.mixture_build import graph_of
from training.mixture_net import NetSource, item_vectors_of
from training.train import NET_QUERIES, config_for, net_validation

HOLDOUT_DAYS = 14.0
METRIC = "ndcg@10"


class Judged(NamedTuple):
    """NDCG@10 of each user `[B]`, whose tastes are broad `[B]`, and how many interests each has `[B]`."""

    ndcg: Float64s
    broad: Bools
    interests: Float64s


def breadth(histories: Histories, snapshot: Snapshot) -> Float64s:
    """Entropy of each user's events over top categories, in nats, float64 `[B]`; 0 without events."""
    below = ancestors_matrix(snapshot.item_category, snapshot.category_parent, len(snapshot.items)).astype(np.float64)
    ones = np.ones(len(histories.item))
    events = csr_array((ones, (histories.row_of, histories.item)), (len(histories), histories.n_items))
    had = (events @ below[:, np.flatnonzero(snapshot.category_parent < 0)]).toarray()
    share = had / np.maximum(had.sum(axis=1, keepdims=True), 1)
    return np.asarray(-(share * np.log(np.where(share > 0, share, 1))).sum(axis=1))


def judge(split: Split, changes: dict[str, Any]) -> Judged:
    """Learns a net with `changes`, and asks it alone for what users do in the test window, earlier items included."""
    result = fit(
        graph_of(split.trained, None),
        histories_of(split.trained),
        net_validation(sample(split.validation, NET_QUERIES), exclude_seen=False),
        config_for(split.trained, changes),
        n_kinds=len(split.trained.kinds),
    )
    net = result.net.cpu()
    source = NetSource(net, item_vectors_of(net, graph_of(split.refreshed, None)))
    asked = split.test
    (judged,) = evaluate(asked, {"refreshed": [NetAlone(source)]}, seen="include")
    spread = breadth(asked.histories, split.refreshed)
    _, weights = supported(source.users(asked.histories), source.vectors, asked.histories)
    return Judged(judged.per_user[METRIC], spread > np.median(spread), np.count_nonzero(weights, axis=1).astype(float))


def row(several: Judged, one: Judged) -> dict[str, Any]:
    """Of users of broad tastes and of the others: NDCG@10, what it is ahead by, and how many interests they have."""
    found: dict[str, Any] = {}
    for name, users in (("broad", several.broad), ("others", ~several.broad)):
        ahead = paired_bootstrap(several.ndcg[users], one.ndcg[users])
        found[name] = {
            METRIC: round(float(several.ndcg[users].mean()), 5),
            "ahead": [round(value, 5) for value in (ahead.mean, ahead.low, ahead.high)],
            "interests": round(float(several.interests[users].mean()), 2),
            "users": int(users.sum()),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality.several_interests", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--width", type=int, default=64, help="floats a user, however many interests")
    parser.add_argument("--interests", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--shops", type=int, default=3, help="made-up shops; their numbers are their seeds")
    parser.add_argument("--users", type=int, default=2_000)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--epochs", type=int, default=None, help="as many as the net's rules say, where not given")
    parser.add_argument("--folder", type=Path, default=Path("var/quality"))
    with explained():
        measure(parser.parse_args())


def measure(given: argparse.Namespace) -> None:
    folder = given.folder.resolve()
    judged: dict[int, list[Judged]] = {interests: [] for interests in (1, *given.interests)}
    for seed in range(given.shops):
        split = made_up(folder, seed, users=given.users, events=given.events)
        for interests, of_shops in judged.items():
            changes = {"dim": given.width // interests, "interests": interests, "seed": seed}
            changes |= {} if given.epochs is None else {"epochs": given.epochs}
            of_shops.append(judge(split, changes))
            print(f"shop {seed}, {interests} of {changes['dim']}: {of_shops[-1].ndcg.mean():.4f}", flush=True)
    joined = {
        k: Judged(*(np.concatenate(parts) for parts in zip(*of_shops, strict=True))) for k, of_shops in judged.items()
    }
    rows = {f"{k} of {given.width // k}": row(every, joined[1]) for k, every in joined.items()}
    for name, found in rows.items():
        print(name, json.dumps(found))
    path = folder / "several-interests.json"
    asked = {name: value for name, value in vars(given).items() if name != "folder"}
    path.write_text(json.dumps({"revision": git_revision(), **asked, "rows": rows}, indent=2) + "\n", encoding="utf-8")
    print(f"written: {path}")


def made_up(folder: Path, seed: int, *, users: int, events: int) -> Split:
    """The shop of that seed, made and loaded where it is not there, split by time."""
    name = f"shop-{users}-{events}-{seed}"
    mapping = folder / "made-up" / name / f"{name}.toml"
    if not mapping.exists():
        shop = Options(users=users, items=1_000, categories=120, events=events, days=200, seed=seed)
        write_shop(shop, mapping.parent).mapping.rename(mapping)
    database = Database(load(data_set_of(str(mapping)), folder, None, Console(stderr=True)))
    try:
        snapshot = take_snapshot(database, as_of=None)
    finally:
        database.close()
    return time_split(snapshot, test_start=snapshot.as_of - round(HOLDOUT_DAYS * DAY_US))


if __name__ == "__main__":
    main()
