"""What the catalog says otherwise: items and categories that appeared, went, were renamed, moved or described anew."""

import json
from dataclasses import dataclass, replace

import polars as pl

from graph.ids import IdMap
from graph.snapshot import Snapshot
from graph.storage.rules import written_json

OTHER_ATTRIBUTES = "with other attributes"
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
    change: str  # appeared, gone, renamed, moved, unavailable, available again, with other attributes
    count: int
    examples: tuple[Example, ...]  # the first ones in the order of their ids


def catalog_changes(before: Snapshot, after: Snapshot, n_examples: int) -> tuple[CatalogChange, ...]:
    """Only what changed. A category moves when its parent is another one, an item when its categories are.

    Of other attributes an example shows those that differ, as JSON objects. Users have no versions, so of their
    attributes a snapshot knows nothing.
    """
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
        ("items", items, OTHER_ATTRIBUTES, both & (pl.col("attributes") != pl.col("attributes_after")), "attributes"),
    ]
    changes = []
    for of, frame, change, condition, shown in checks:
        hit = frame.filter(condition.fill_null(value=False))
        if hit.height:
            examples = _examples(hit, shown, n_examples)
            if change == OTHER_ATTRIBUTES:
                examples = tuple(_differing(example) for example in examples)
            changes.append(CatalogChange(of, change, hit.height, examples))
    return tuple(changes)


def _examples(hit: pl.DataFrame, shown: str | None, n: int) -> tuple[Example, ...]:
    first = hit.sort("external").head(n)
    name = pl.coalesce("name_after", "name")
    values = [pl.lit(None), pl.lit(None)] if shown is None else [pl.col(shown), pl.col(f"{shown}_after")]
    columns = [pl.col("external"), name.alias("shown"), values[0].alias("old"), values[1].alias("new")]
    return tuple(Example(*row) for row in first.select(columns).iter_rows())


def _differing(example: Example) -> Example:
    """With only those attributes that one side has otherwise, or lacks."""
    old, new = (json.loads(text or "{}") for text in (example.before, example.after))
    # Compared as JSON is written: to Python true is 1.
    pairs = [{(name, json.dumps(value, sort_keys=True)) for name, value in side.items()} for side in (old, new)]
    names = {name for name, _ in pairs[0] ^ pairs[1]}
    before, after = (written_json({name: side[name] for name in names & side.keys()}) for side in (old, new))
    return replace(example, before=before, after=after)


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
            "attributes": pl.Series(snapshot.item_attributes),
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
