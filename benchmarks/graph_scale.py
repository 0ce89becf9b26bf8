"""How the graph grows with the store: seconds and memory of each stage by size, and a day added to what was kept.

    python -m benchmarks.graph_scale                                  # SQLite, 1 to 20 M interactions
    python -m benchmarks.graph_scale --engine postgresql --sizes 1000000 2000000

Stores are made by graph_store.py in --folder and used again; PostgreSQL is started from the wheel that the tests use.
Each size is measured in a process of its own. Peaks are of the measuring process; the readers beside it (SQLite) take
less than 0.2 GiB each, whatever the size. Where others use the machine too, the seconds of processor tell what an idle
one would take.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch_geometric.data import HeteroData

from benchmarks.graph_store import Shop, add_day, fill
from benchmarks.postgresql import new_database, postgresql_url
from graph import reading
from graph.build import build_graph
from graph.snapshot import snapshot_at, take_snapshot
from graph.state.current import current_graph
from graph.storage.database import Database
from graph.storage.kinds import load_kinds
from graph.storage.times import now_us
from graph.threads import cores

SIZES = (1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000)
STAGES = ("read", "sort", "graph")
GIB = 2**30


class Watch:
    """Seconds, processor seconds (readers included) and peak memory of each stage."""

    def __init__(self) -> None:
        self.stages: dict[str, dict[str, float]] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        wall, busy = time.perf_counter(), _processor_seconds()
        yield
        status = Path("/proc/self/status").read_text()
        peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
        self.stages[name] = {
            "seconds": time.perf_counter() - wall,
            "processor": _processor_seconds() - busy,
            "gib": peak * 1024 / GIB,
        }


def measure_full(url: str) -> dict[str, Any]:
    """Store to HeteroData, as `take_snapshot` and `build_graph` do it."""
    database, watch, known_at = Database(url), Watch(), now_us()
    with watch.stage("read"):
        as_of = (reading.newest_event(database, known_at) or 0) + 1
        kinds = load_kinds(database)
        rows = reading.read_events(database, kinds, as_of, known_at)
        versions = reading.read_versions(database, as_of, known_at)
        users, items, categories = reading.read_ids(database, rows, versions, known_at)
    with watch.stage("sort"):
        log = reading.event_log(rows, kinds, users, items)
        catalog = reading.catalog_log(versions, items, categories)
        snapshot = snapshot_at(as_of, known_at, users, items, categories, kinds, log, catalog)
    with watch.stage("graph"):
        graph = build_graph(snapshot)
    return {"stages": watch.stages, "edges": graph.num_edges, "events": len(snapshot.events)}


def measure_first(url: str, folder: str) -> dict[str, Any]:
    """Everything counted from the start and written down."""
    watch = Watch()
    with watch.stage("first"):
        current_graph(Database(url), Path(folder))
    size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return {"stages": watch.stages, "kept_gib": size / GIB}


def measure_day(url: str, folder: str) -> dict[str, Any]:
    """On the state before a day was added, and beside it from the start; they must be the same graph."""
    database, watch, known_at = Database(url), Watch(), now_us()
    notes: list[str] = []
    with watch.stage("day"):
        kept = current_graph(database, Path(folder), known_at=known_at, keep=False, say=notes.append)
    if kept.new_rows is None:
        raise SystemExit(f"the kept graph was not used: {notes}")
    with watch.stage("whole"):
        whole = build_graph(take_snapshot(database, as_of=None, known_at=known_at))
    return {"stages": watch.stages, "new_rows": kept.new_rows, "difference": _difference(kept.graph, whole)}


def _difference(one: HeteroData, other: HeteroData) -> float:
    """The largest relative difference of a weight; infinite where edges differ."""
    if one.edge_types != other.edge_types:
        return float("inf")
    worst = 0.0
    for kind in one.edge_types:
        if not torch.equal(one[kind].edge_index, other[kind].edge_index):
            return float("inf")
        a, b = one[kind].edge_weight, other[kind].edge_weight
        worst = max(worst, float(((a - b).abs() / b).max()) if len(b) else 0.0)
    return worst


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _apart(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.graph_scale", "--measure", *arguments]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, Any] = json.loads(answer.splitlines()[-1])
    return found


@contextmanager
def _stores(engine: str, folder: Path) -> Iterator[Any]:
    """A function from a size to the URL of its store, filled where it was not."""
    if engine == "sqlite":

        def sqlite(shop: Shop) -> str:
            path, draft = folder / f"sqlite-{shop.interactions}.db", folder / "filling.db"
            if not path.exists():
                _filled(f"sqlite:///{draft}", shop)
                draft.rename(path)
            copy = folder / "measured.db"  # the day is added to a copy
            shutil.copyfile(path, copy)
            return f"sqlite:///{copy}"

        yield sqlite
        for rest in folder.glob("measured.db*"):
            rest.unlink()
        return
    with postgresql_url(folder) as server:

        def postgresql(shop: Shop) -> str:
            url = new_database(server)
            _filled(url, shop)
            return url

        yield postgresql


def _filled(url: str, shop: Shop) -> None:
    database = Database(url)
    fill(database, shop)
    database.close()


def line_through(sizes: list[int], values: list[float]) -> str:
    """Least squares, and the largest distance of a measured value from the line, as a share of the line's own."""
    n, y = np.array(sizes) / 1e6, np.array(values)
    slope, start = np.polyfit(n, y, 1) if len(n) > 1 else (y[0] / n[0], 0.0)
    fitted = start + slope * n
    return f"{start:.2f} + {slope:.3f} per million, off by at most {np.abs(y / fitted - 1).max():.0%}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.graph_scale", description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--share", type=float, default=0.01, help="what a day adds")
    parser.add_argument("--folder", type=Path, default=Path("var/graph_scale"))
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        what, url, *rest = arguments.measure
        kept_in = rest[0] if rest else ""
        found = (
            measure_full(url) if what == "full" else (measure_first if what == "first" else measure_day)(url, kept_in)
        )
        print(json.dumps(found))
        return
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    with _stores(arguments.engine, folder) as store:
        for size in arguments.sizes:
            shop, kept = Shop(size), folder / "kept"
            url = store(shop)
            shutil.rmtree(kept, ignore_errors=True)
            full = _apart("full", url)
            first = _apart("first", url, str(kept))
            database = Database(url)
            add_day(database, shop, arguments.share)
            database.close()
            day = _apart("day", url, str(kept))
            rows.append({"size": size, "full": full, "first": first, "day": day})
            _print(rows[-1], arguments.engine)
    shutil.rmtree(kept, ignore_errors=True)
    sizes = [row["size"] for row in rows]
    for name in ("seconds", "processor"):
        values = [sum(stage[name] for stage in row["full"]["stages"].values()) for row in rows]
        print(f"{name}: {line_through(sizes, values)}")
    peaks = [max(stage["gib"] for stage in row["full"]["stages"].values()) for row in rows]
    print(f"peak GiB: {line_through(sizes, peaks)}")
    (folder / f"{arguments.engine}.json").write_text(json.dumps(rows, indent=1))


def _print(row: dict[str, Any], engine: str) -> None:
    stages = row["full"]["stages"]
    total = sum(stage["seconds"] for stage in stages.values())
    busy = sum(stage["processor"] for stage in stages.values())
    print(f"\n{engine}, {row['size']:,} interactions, {row['full']['edges']:,} edges, {cores()} cores")
    for name in STAGES:
        stage = stages[name]
        print(
            f"  {name:8} {stage['seconds']:7.1f} s  {stage['processor']:7.1f} s of processor  {stage['gib']:5.2f} GiB"
        )
    peak = max(stage["gib"] for stage in stages.values())
    print(f"  {'in all':8} {total:7.1f} s  {busy:7.1f} s of processor  {peak:5.2f} GiB")
    day, whole = row["day"]["stages"]["day"], row["day"]["stages"]["whole"]
    first = row["first"]["stages"]["first"]
    print(
        f"  a day of {row['day']['new_rows']:,} rows: {day['seconds']:.1f} s ({day['processor']:.1f} of processor), "
        f"the whole anew {whole['seconds']:.1f} s ({whole['processor']:.1f}): "
        f"{whole['seconds'] / day['seconds']:.1f} x, by processor {whole['processor'] / day['processor']:.1f} x; "
        f"weights differ by {row['day']['difference']:.1e}; "
        f"first time {first['seconds']:.1f} s, {row['first']['kept_gib']:.2f} GiB kept",
        flush=True,
    )


if __name__ == "__main__":
    main()
