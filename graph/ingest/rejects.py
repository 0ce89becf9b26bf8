"""Rows that cannot be used, set aside with file, line and reason: one JSON object a line."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from graph.ingest.dialect import Dialect


@dataclass(frozen=True)
class Reject:
    """`line` counts from 1, the header included; in Parquet, which has no lines, it is the row, from 1.

    `row` holds the columns where the line could be split into them, otherwise the line's text; `columns` are the names
    that its values would have had and `dialect` what splits it, None where the text names them itself (JSON) or they
    are in `row`.
    """

    line: int
    reason: str
    row: dict[str, Any] | str
    columns: list[str] | None = None
    dialect: Dialect | None = None


class RejectsFile:
    """Belongs to one run: created with the first reject; a file of an earlier run goes when one ends without any."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def add(self, table: str, rejects: Iterable[tuple[str, Reject]]) -> None:
        """`rejects` with the files that they stand in."""
        for source, reject in rejects:
            if self._file is None:
                self._file = self.path.open("w", encoding="utf-8")
            row = reject.row if isinstance(reject.row, str) else {k: _json(v) for k, v in reject.row.items()}
            record = {"table": table, "file": source, "line": reject.line, "reason": reject.reason, "row": row}
            if reject.columns is not None:
                record["columns"] = reject.columns
            if reject.dialect is not None:
                record |= {"delimiter": reject.dialect.delimiter, "quoted": reject.dialect.quoted}
            self._file.write(json.dumps(record, ensure_ascii=False, default=str) + "\n")

    def close(self, *, complete: bool) -> None:
        """`complete`: all was read. A load that stopped knows nothing of the rows that an earlier one set aside."""
        if self._file is not None:
            self._file.close()
        elif complete:
            self.path.unlink(missing_ok=True)


def _json(value: Any) -> Any:
    """NaN and infinity as text: JSON has no such numbers, and a rejects file can be read again."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
