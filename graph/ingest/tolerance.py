"""How many bad rows a load may meet before it stops."""

import re
from dataclasses import dataclass
from fractions import Fraction

from graph.ingest.rejects import Reject
from graph.storage.errors import BadInputError

_STORED = "Rows before it are stored, and loading them again doubles nothing."


@dataclass(frozen=True)
class Tolerance:
    """Of one table's rows: none bad (`strict`), at most so many, or at most such a share of those read so far."""

    strict: bool = False
    count: int | None = None
    share: Fraction | None = None

    def check(self, table: str, rows: int, rejected: int, newest: list[tuple[str, Reject]]) -> None:
        """Raise BadInputError when it is enough; `newest` are the rows just rejected with the files they stand in."""
        if self.strict and newest:
            file, first = min(newest, key=lambda one: one[1].line)
            raise BadInputError(f"{file}, line {first.line}: {first.reason}.", hint=f"--strict stops here. {_STORED}")
        allowed = rows if self.count is None else self.count
        if self.share is not None:
            allowed = min(allowed, int(self.share * rows))
        if rejected > allowed:
            said = f"{float(self.share):.4g} of them" if self.share is not None else f"{self.count:,}"
            reasons = "; the last: " + newest[-1][1].reason if newest else ""
            raise BadInputError(
                f"{rejected:,} of the first {rows:,} rows of {table} cannot be used, more than {said}{reasons}.",
                hint=f"--max-rejects stops here. {_STORED}",
            )


def parse_tolerance(text: str | None, *, strict: bool) -> Tolerance:
    """From `--max-rejects`: a number of rows, or a share such as 1%. Raises BadInputError."""
    if text is None:
        return Tolerance(strict)
    if re.fullmatch(r"\d{1,18}", text):
        return Tolerance(strict, count=int(text))
    match = re.fullmatch(r"(\d{1,3}(?:\.\d{1,9})?)\s*%", text)
    if match and (share := Fraction(match[1]) / 100) <= 1:
        return Tolerance(strict, share=share)
    raise BadInputError(f"--max-rejects {text} is no limit.", hint="Give a number of rows such as 100, or a share: 1%.")
