"""An item's categories from columns, delimited text or ids, and the tree nodes that paths create on the way.

A node made from a path is named by its last step and known by the whole path, "GROCERY > FRZN ICE > ICE", which stays
the same from load to load. A `>` inside a step is written `\\>` there, so that two paths never share an id.
"""

from collections.abc import Sequence

import polars as pl

from graph.ingest.expressions import label, text
from graph.ingest.mapping import ItemCategories, template_columns

ARROW = " > "
NODE_SCHEMA = {"category": pl.String, "name": pl.String, "parent": pl.String, "valid_from": pl.Int64}


def escaped(step: pl.Expr) -> pl.Expr:
    return step.str.replace_all("\\", "\\\\", literal=True).str.replace_all(">", "\\>", literal=True)


def item_categories(rows: pl.DataFrame, entries: Sequence[ItemCategories]) -> tuple[pl.Series, pl.DataFrame]:
    """(`list<string>` of external ids for each row, nodes to create in the columns of NODE_SCHEMA, parents first)."""
    lists: list[pl.Series] = []
    nodes = [pl.DataFrame(schema=NODE_SCHEMA)]
    for entry in entries:
        if entry.ids is not None:
            lists.append(rows.select(_values(rows, entry.ids, entry.separator).alias("ids")).to_series())
            continue
        paths = _paths(rows, entry)
        nodes.append(_nodes(paths["path"]))
        ids = paths.select("row", id=_path_id(pl.col("path"))).group_by("row", maintain_order=True).agg("id")
        every_row = pl.DataFrame({"row": pl.int_range(rows.height, dtype=pl.Int64, eager=True)})
        lists.append(every_row.join(ids, on="row", how="left", maintain_order="left")["id"])
    if not lists:
        return pl.Series("categories", [[]] * rows.height, dtype=pl.List(pl.String)), nodes[0]
    empty = pl.lit([], dtype=pl.List(pl.String))
    columns = pl.DataFrame([s.alias(str(i)) for i, s in enumerate(lists)]).select(pl.all().fill_null(empty))
    joined = columns.select(categories=pl.concat_list(pl.all()).list.drop_nulls().list.unique(maintain_order=True))
    return joined["categories"], pl.concat(nodes).unique("category", maintain_order=True)


def _values(rows: pl.DataFrame, column: str, separator: str | None) -> pl.Expr:
    """`list<string>`: the column's list, or its text split, each value stripped and empty ones left out."""
    kind = rows.schema.get(column)
    if isinstance(kind, pl.List | pl.Array):
        values = pl.col(column).cast(pl.List(pl.String), strict=False)
    elif separator is None:
        values = pl.concat_list(text(rows, column))
    else:
        values = text(rows, column).str.split(separator)
    steps = values.list.eval(pl.element().str.strip_chars())
    return steps.list.eval(pl.element().filter(pl.element().is_not_null() & (pl.element() != "")))


def _paths(rows: pl.DataFrame, entry: ItemCategories) -> pl.DataFrame:
    """One line for each path of each row: `row` (int64), `path` (list of steps, root first, never empty)."""
    row = pl.int_range(rows.height, dtype=pl.Int64, eager=True).alias("row")
    if entry.columns is not None:
        steps: list[pl.Expr] = []
        for column in entry.columns:
            step = _step(rows, column)
            steps.append(pl.when(steps[-1].is_not_null()).then(step) if steps else step)
        paths = rows.select(row, path=pl.concat_list(steps).list.drop_nulls())
    else:
        assert entry.column is not None
        values = rows.select(row, value=_values(rows, entry.column, entry.separator)).explode("value").drop_nulls()
        if entry.path_separator is None:
            paths = values.select("row", path=pl.concat_list("value"))
        else:
            paths = values.select("row", path=_values(values, "value", entry.path_separator))
    paths = paths.filter(pl.col("path").list.len() > 0)
    if entry.root is not None:
        paths = paths.select("row", path=pl.concat_list(pl.lit([entry.root]), "path"))
    return paths


def _step(rows: pl.DataFrame, template: str) -> pl.Expr:
    """A column's text or a template's, null where there is nothing to fill it with."""
    filled = pl.coalesce([text(rows, column) for column in template_columns(template)])
    return pl.when(filled.is_not_null()).then(label(rows, template))


def _path_id(path: pl.Expr) -> pl.Expr:
    return path.list.eval(escaped(pl.element())).list.join(ARROW)


def _nodes(paths: pl.Series) -> pl.DataFrame:
    """All distinct beginnings of the paths, shortest first."""
    distinct = pl.DataFrame({"path": paths}).unique(maintain_order=True)
    levels = [pl.DataFrame(schema=NODE_SCHEMA)]
    deepest = max(distinct["path"].list.len().to_list(), default=0)
    for depth in range(1, deepest + 1):
        level = distinct.filter(pl.col("path").list.len() >= depth).select(
            category=_path_id(pl.col("path").list.head(depth)),
            name=pl.col("path").list.get(depth - 1),
            parent=_path_id(pl.col("path").list.head(depth - 1)) if depth > 1 else pl.lit(None, pl.String),
            valid_from=pl.lit(None, pl.Int64),
        )
        levels.append(level.unique("category", maintain_order=True))
    return pl.concat(levels)
