"""Cycles among categories, at whatever time a version begins that closes one."""

from collections.abc import Iterator, Mapping

import polars as pl


def cycles_over_time(versions: pl.DataFrame, *, first: int | None = None) -> Iterator[tuple[list[str], pl.DataFrame]]:
    """Each cycle at each time from `first` on, and the versions that hold then, one a category.

    `versions` has category, parent (null: a root), deleted and valid_from (us); of one time the last row holds.
    """
    above = pl.when(~pl.col("deleted")).then("parent").alias("parent")  # what is deleted hangs nowhere
    line = versions.with_columns(above).sort("valid_from", maintain_order=True)
    times = line["valid_from"].unique().sort()
    for time in times.to_list() if first is None else times.filter(times >= first).to_list():
        holding = line.filter(pl.col("valid_from") <= time).unique("category", keep="last", maintain_order=True)
        for cycle in find_cycles(dict(zip(holding["category"].to_list(), holding["parent"].to_list(), strict=True))):
            yield cycle, holding


def find_cycles(parents: Mapping[str, str | None]) -> list[list[str]]:
    """Each cycle of child -> parent once, as the nodes along it."""
    cycles: list[list[str]] = []
    done: set[str] = set()
    for start in sorted(parents):
        path: list[str] = []
        on_path: set[str] = set()
        node: str | None = start
        while node is not None and node not in done and node not in on_path:
            path.append(node)
            on_path.add(node)
            node = parents.get(node)
        if node in on_path:
            cycles.append(path[path.index(str(node)) :])
        done.update(path)
    return cycles


def told(cycle: list[str]) -> str:
    """`a > b > a`"""
    return " > ".join([*cycle, cycle[0]])
