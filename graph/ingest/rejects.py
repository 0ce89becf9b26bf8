"""Rows that cannot be used, set aside with file, line and reason: one JSON object a line."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any


@dataclass(frozen=True)
class Reject:
    """`line` counts from 1, the header included; in Parquet, which has no lines, it is the row, from 1.

    `row` holds the columns where the line could be split into them, otherwise the line's text.
    """

    line: int
    reason: str
    row: dict[str, Any] | str


class RejectsFile:
    """Belongs to one run: created with the first reject, and a file of an earlier run goes when there is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def add(self, table: str, source: Path, rejects: list[Reject]) -> None:
        if not rejects:
            return
        if self._file is None:
            self._file = self.path.open("w", encoding="utf-8")
        for reject in rejects:
            record = {"table": table, "file": str(source), **asdict(reject)}
            self._file.write(json.dumps(record, ensure_ascii=False, default=str) + "\n")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        else:
            self.path.unlink(missing_ok=True)
