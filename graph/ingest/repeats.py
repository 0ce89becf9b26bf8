"""Catalog rows that come twice in one file: the same again is dropped, the same id with other content is refused."""

from dataclasses import dataclass, field

import polars as pl

from graph.ingest.batch import FILE_SHIFT, LINE

_SEEN = {"key": pl.UInt64, "content": pl.UInt64, "first": pl.Int64}


@dataclass
class Repeats:
    """Remembers a number per row, id and version, over the batches of one table, whose LINE is unique."""

    files: list[str] = field(default_factory=list)
    seen: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_SEEN))

    def sort_out(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, int]:
        """(rows that come for the first time, LINE and `reason` of those to refuse, how many are the same again)."""
        key = [name for name in (rows.columns[0], "valid_from") if name in rows.columns]
        plain = [
            pl.col(name).list.join("\n") if kind == pl.List else pl.col(name)
            for name, kind in rows.schema.items()
            if name != LINE
        ]
        marked = rows.select(key=pl.struct(key).hash(), content=pl.struct(plain).hash(), first=LINE)
        self.seen = pl.concat([self.seen, marked]).unique("key", keep="first", maintain_order=True)
        found = marked.select("key").join(self.seen, on="key", how="left", maintain_order="left")
        is_first = found["first"] == rows[LINE]
        is_same = ~is_first & (found["content"] == marked["content"])
        conflict = ~is_first & ~is_same
        line, file = found["first"] & ((1 << FILE_SHIFT) - 1), found["first"] // (1 << FILE_SHIFT)
        where = pl.concat_str([pl.lit("id given twice with other content: first in line "), line])
        if len(self.files) > 1:
            where = pl.concat_str([where, pl.lit(" of "), pl.Series(self.files).gather(file)])
        refused = rows.select(LINE, reason=where).filter(conflict)
        return rows.filter(is_first), refused, int(is_same.sum())
