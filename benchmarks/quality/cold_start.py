"""Cold start: items that nobody has touched, and users of whom hardly anything is known.

    python -m benchmarks.quality.cold_start amazon-beauty --data FOLDER

A random part of the items is held out with all their events, and a model learns from the rest. Then two questions:
which held-out item did users take (candidates are these items alone, level ones in random order)? And which of the
known items was each user's last, if all but the newest 1, 2, 3, 5 events before it are forgotten?
Settings are chosen with --part validation, which holds out other items and asks for each user's validation event.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from rich.console import Console

from benchmarks.quality.data_sets import data_set_of
from benchmarks.quality.measure import load
from graph.arrays import Float32s, Int64s
from graph.histories import Histories
from graph.snapshot import take_snapshot
from graph.storage.cli_errors import explained
from graph.storage.database import Database
from training.code_revision import git_revision
from training.evaluation.baselines import BASELINES, DEFAULT_BASELINES, Ranker
from training.evaluation.cold_items import SHARE, ColdItems, Part, Untied, category_frequencies, cold_items, trained_on
from training.evaluation.evaluate import Result, evaluate
from training.evaluation.protocols import Split
from training.evaluation.queries import Seen
from training.evaluation.short_histories import LENGTHS, known_for, newest
from training.memories_fit import sample
from training.mixture_build import mixture_of
from training.mixture_net import NetSource
from training.net_settings import parse_settings
from training.train import Learned, config_for, learn

METRICS = ("ndcg@10", "recall@10")
ALL = "all"
EVERY = 10**9


@dataclass(frozen=True)
class NetAlone:
    """The mixture's net, without memories, gate and ranker."""

    net: NetSource
    name: str = "its net alone"

    def scores(self, histories: Histories, now_us: Int64s) -> Float32s:
        return self.net.logits(self.net.users(histories))


def of_items(learned: Learned, cold: ColdItems, most: int = EVERY) -> dict[str, Any]:
    """Held-out items, asked of a model that is refreshed with everything that is known of the others."""
    mixture = mixture_of(learned.model, cold.known)
    rankers: list[Ranker] = [mixture, NetAlone(mixture.net), *category_frequencies(cold.known)]
    asked = sample(cold.asked, most)
    untied = [Untied(ranker, asked.catalog) for ranker in rankers]
    results = evaluate(asked, {"refreshed": untied}, seen="include")
    for result in results:
        print(f"{result.model:40s} " + "  ".join(f"{name} {result.means[name]:.4f}" for name in METRICS), flush=True)
    return cold.settings | {"users": len(asked), "results": _rows(results)}


def of_users(learned: Learned, split: Split, part: Part, most: int = EVERY) -> dict[str, Any]:
    """NDCG@10 by the number of events that are known of a user, of the model and of what it has to beat."""
    seen: Seen = "exclude" if learned.exclude_seen else "include"
    asked, events = (split.test, split.refreshed) if part == "test" else (split.validation, split.trained)
    asked = sample(known_for(asked.under(seen), max(LENGTHS)), most)
    mixture = mixture_of(learned.model, events) if part == "test" else learned.mixture
    rankers = [mixture, *(BASELINES[name](events) for name in DEFAULT_BASELINES)]
    found: dict[str, Any] = {}
    for length in (*LENGTHS, None):
        queries = asked if length is None else newest(asked, length)
        results = evaluate(queries, {"refreshed": rankers}, seen=seen)
        found[str(length or ALL)] = _rows(results)
        shown = "  ".join(f"{result.model} {result.means['ndcg@10']:.4f}" for result in results)
        print(f"{length or ALL} events: {shown}", flush=True)
    return {"users": len(asked), "seen": seen, "by_events": found}


def curve(by_events: dict[str, dict[str, dict[str, float]]], title: str) -> Figure:
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for model in next(iter(by_events.values())):
        heights = [rows[model]["ndcg@10"] for rows in by_events.values()]
        axes.plot(list(by_events), heights, marker="o", linewidth=2.5 if model == "penchant" else 1.2, label=model)
    axes.set(xlabel="events known of a user", ylabel="NDCG@10", title=title, ylim=(0, None))
    axes.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _rows(results: Sequence[Result]) -> dict[str, dict[str, float]]:
    return {result.model: {name: round(result.means[name], 5) for name in METRICS} for result in results}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality.cold_start", description=__doc__.splitlines()[0]
    )
    parser.add_argument("data_set", help="complete-journey, amazon-beauty, movielens-100k, or a mapping file")
    parser.add_argument(
        "--data", type=Path, help="folder of the data set's files, where its package does not keep them"
    )
    parser.add_argument("--part", choices=("test", "validation"), default="test")
    parser.add_argument("--share", type=float, default=SHARE, help="how many of the items are held out")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the net")
    parser.add_argument("--users", type=int, default=EVERY, help="at most so many a question, drawn with a fixed seed")
    parser.add_argument("--folder", type=Path, default=Path("var/quality"))
    with explained():
        measure(parser.parse_args())


def measure(given: argparse.Namespace) -> None:
    data_set = data_set_of(given.data_set)
    folder = given.folder.resolve() / data_set.name
    database = Database(load(data_set, given.folder.resolve(), given.data, Console(stderr=True)))
    try:
        cold = cold_items(take_snapshot(database, as_of=None), part=given.part, share=given.share)
    finally:
        database.close()
    split = trained_on(cold.known)
    learned = learn(
        split.trained,
        split.validation,
        config_for(split.trained, parse_settings(given.set)),
        following=split.refreshed,
        stage=lambda name: print(f"… {name}", flush=True),
    )
    items, users = of_items(learned, cold, given.users), of_users(learned, split, given.part, given.users)
    path = folder / f"cold-start-{given.part}.json"
    settings = {"part": given.part, "net": learned.model.net.config.model_dump(mode="json"), "revision": git_revision()}
    path.write_text(json.dumps(settings | {"items": items, "users": users}, indent=2) + "\n", encoding="utf-8")
    title = f"{data_set.name}, {users['users']:,} users with at least {max(LENGTHS)} events"
    curve(users["by_events"], title).savefig(path.with_suffix(".png"), dpi=150)
    print(f"written: {path} and a picture beside it")


if __name__ == "__main__":
    main()
