"""python -m benchmarks.serving: rounds of all questions, each beside the empty calls of the same round."""

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.progress import track
from rich.table import Table

import benchmarks.serving as package
from benchmarks.serving.bare import KINDS
from benchmarks.serving.closed import Measured, ask
from benchmarks.serving.questions import BYTES, BYTES_SERVER, NOTHING, REQUESTS, questions
from benchmarks.serving.world import another, make_world


def main() -> None:
    parser = argparse.ArgumentParser(description=package.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("var/serving"), help="the shop, its model, results")
    parser.add_argument("--items", type=int, default=70_000)
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each question in each round")
    parser.add_argument("--only", action="append", help="a question's name or its beginning; several times")
    arguments = parser.parse_args()
    world = make_world(arguments.folder, arguments.items)
    asked = [
        question
        for question in questions(*world.names(REQUESTS))
        if not arguments.only or question.name.startswith(tuple(arguments.only))
    ]
    found: dict[str, list[Measured]] = {}
    for _ in track(range(arguments.rounds), "rounds", console=Console(stderr=True), transient=True):
        how = {"callers": arguments.callers, "seconds": arguments.seconds, "warm_s": 1.0}
        for kind in KINDS:
            with another("benchmarks.serving.bare", kind) as target:
                found.setdefault(f"empty, {kind}", []).append(ask(target, NOTHING, **how))
                if kind == BYTES_SERVER:
                    found.setdefault(BYTES.name, []).append(ask(target, BYTES, **how))
        for flags in {question.serve: None for question in asked}:
            with world.serve(*flags) as target:
                for question in (each for each in asked if each.serve == flags):
                    found.setdefault(question.name, []).append(ask(target, question, **how))
    show(found, arguments.folder / "serving.json")


def show(found: dict[str, list[Measured]], path: Path) -> None:
    """Ratios are taken round by round, to the fastest empty call of the round, and their median is shown."""
    table = Table(title=f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}")
    for column in ("call", "calls/s", "of an empty call", "p50 ms", "p99 ms", "p99 / p50"):
        table.add_column(column, justify="left" if column == "call" else "right")
    fastest = [
        max(one.per_s for one in each) for each in zip(*(found[f"empty, {kind}"] for kind in KINDS), strict=True)
    ]
    for name, rounds in found.items():
        ratio = median(one.per_s / best for one, best in zip(rounds, fastest, strict=True))
        p50, p99 = _median(rounds, "p50_ms"), _median(rounds, "p99_ms")
        cells = (f"{_median(rounds, 'per_s'):,.0f}", f"{ratio:.2f}", f"{p50:.1f}", f"{p99:.1f}", f"{p99 / p50:.1f}")
        table.add_row(name, *cells)
    Console(width=120).print(table)
    path.write_text(json.dumps({name: [asdict(one) for one in rounds] for name, rounds in found.items()}, indent=2))


def _median(rounds: Sequence[Measured], name: str) -> float:
    return float(median(getattr(one, name) for one in rounds))


if __name__ == "__main__":
    main()
