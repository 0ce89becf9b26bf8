"""Cycles among categories, at whatever time a version begins that closes one."""

from collections.abc import Iterator

import polars as pl


def cycles_over_time(versions: pl.DataFrame, *, first: int | None = None) -> Iterator[tuple[list[str], list[int]]]:
    """Each cycle, child before parent, that closes at a time from `first` on, and the rows that close it.

    `versions` has category, parent (null: a root), deleted and valid_from (us); of one time the last row holds.
    One walk through time: a cycle that closes has a member whose parent is new, so only from these is it looked for.
    """
    line = versions.select("category", "parent", "deleted", "valid_from").with_row_index("place")
    parents: dict[str, str | None] = {}
    holding: dict[str, int] = {}
    for (time,), part in line.sort("valid_from", maintain_order=True).group_by("valid_from", maintain_order=True):
        for place, category, parent, deleted, _ in part.iter_rows():
            parents[category] = None if deleted else parent  # what is deleted hangs nowhere
            holding[category] = place
        if first is not None and int(str(time)) < first:
            continue
        told: set[str] = set()
        for category in sorted(part["category"].unique()):
            if category not in told and (cycle := _cycle_through(category, parents)):
                told.update(cycle)
                yield cycle, [holding[member] for member in cycle]


def _cycle_through(start: str, parents: dict[str, str | None]) -> list[str]:
    """The nodes from `start` up to itself again, none where the way ends elsewhere."""
    path, seen = [start], {start}
    while (above := parents.get(path[-1])) is not None and above not in seen:
        path.append(above)
        seen.add(above)
    return path if above == start else []


def told(cycle: list[str]) -> str:
    """`a > b > a`"""
    return " > ".join([*cycle, cycle[0]])
