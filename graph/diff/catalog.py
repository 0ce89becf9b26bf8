"""What the catalog says otherwise: items and categories that appeared, went, were renamed or moved."""

from dataclasses import dataclass

import polars as pl

from graph.ids import IdMap
from graph.snapshot import Snapshot

_TOP = "(top)"


@dataclass(frozen=True)
class Example:
    id: str
    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class CatalogChange:
    of: str  # items or categories
    change: str  # appeared, gone, renamed, moved, unavailable, available again
    count: int
    examples: tuple[Example, ...]  # the first ones in the order of their ids


def catalog_changes(before: Snapshot, after: Snapshot, n_examples: int) -> tuple[CatalogChange, ...]:
    """Only what changed. A category moves when its parent is another one, an item when its categories are."""
    items = _together(_items(before), _items(after))
    categories = _together(_categories(before), _categories(after))
    both = pl.col("there") & pl.col("there_after")
    checks: list[tuple[str, pl.DataFrame, str, pl.Expr, str | None]] = []
    for of, frame in (("items", items), ("categories", categories)):
        checks += [
            (of, frame, "appeared", pl.col("there").is_null(), None),
            (of, frame, "gone", pl.col("there_after").is_null(), None),
            (of, frame, "renamed", both & (pl.col("name") != pl.col("name_after")), "name"),
            (of, frame, "moved", both & (pl.col("place") != pl.col("place_after")), "place"),
        ]
    checks += [
        ("items", items, "unavailable", both & pl.col("available") & ~pl.col("available_after"), None),
        ("items", items, "available again", both & ~pl.col("available") & pl.col("available_after"), None),
    ]
    changes = []
    for of, frame, change, condition, shown in checks:
        hit = frame.filter(condition.fill_null(value=False))
        if hit.height:
            changes.append(CatalogChange(of, change, hit.height, _examples(hit, shown, n_examples)))
    return tuple(changes)


def _examples(hit: pl.DataFrame, shown: str | None, n: int) -> tuple[Example, ...]:
    first = hit.sort("external").head(n)
    name = pl.coalesce("name_after", "name")
    values = [pl.lit(None), pl.lit(None)] if shown is None else [pl.col(shown), pl.col(f"{shown}_after")]
    columns = [pl.col("external"), name.alias("shown"), values[0].alias("old"), values[1].alias("new")]
    return tuple(Example(*row) for row in first.select(columns).iter_rows())


def _items(snapshot: Snapshot) -> pl.DataFrame:
    item, category = snapshot.item_category
    named = pl.DataFrame({"id": snapshot.items.surrogate[item], "place": _names(snapshot.categories).gather(category)})
    places = named.group_by("id").agg(pl.col("place").sort().str.join(" | "))
    frame = pl.DataFrame(
        {
            "id": snapshot.items.surrogate,
            "external": _names(snapshot.items),
            "there": snapshot.item_exists,
            "name": pl.Series(snapshot.item_names),
            "available": snapshot.item_available,
        }
    )
    frame = frame.filter("there").join(places, on="id", how="left")
    return frame.with_columns(pl.col("place").fill_null("(none)"))


def _categories(snapshot: Snapshot) -> pl.DataFrame:
    names, parent = _names(snapshot.categories), pl.Series(snapshot.category_parent)
    return pl.DataFrame(
        {
            "id": snapshot.categories.surrogate,
            "external": names,
            "there": snapshot.category_exists,
            "name": pl.Series(snapshot.category_names),
            "place": names.gather(parent.replace(-1, None)).fill_null(_TOP),
        }
    ).filter("there")


def _together(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """One row for each thing in either; columns of the second end in `_after`, and `there` tells where it is."""
    joined = before.join(after, on="id", how="full", coalesce=True, suffix="_after")
    return joined.with_columns(pl.coalesce("external", "external_after").alias("external"))


def _names(ids: IdMap) -> pl.Series:
    return pl.Series(ids.external, dtype=pl.String)
