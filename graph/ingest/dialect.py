"""How the lines of a delimited file become values."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from graph.ingest.mapping import TableMapping

LONGEST_RECORD_LINES = 1_000
"""A quoted value that runs over more lines is taken for a quote that was never closed."""


class _QuoteNotClosedError(Exception):
    """Told by the reader to itself: the block ends inside a quoted value."""


@dataclass(frozen=True)
class Dialect:
    """`quoted`: a value in double quotes may hold delimiters and line breaks, and a quote as two."""

    delimiter: str
    quoted: bool

    @classmethod
    def of(cls, table: TableMapping, *, tabs: bool) -> "Dialect":
        """What the mapping says; where it says nothing, CSV, or with `tabs` TSV."""
        quoting = table.quoting or ("none" if tabs else "standard")
        return cls(table.delimiter or ("\t" if tabs else ","), quoting == "standard")

    def record(self, lines: Iterable[str]) -> tuple[list[str] | str, int]:
        """(values of the first record, or why there are none; how many lines it takes). Each line ends with a \\n."""
        if not self.quoted:
            return next(iter(lines)).removesuffix("\n").removesuffix("\r").split(self.delimiter), 1

        def closed() -> Iterator[str]:
            yield from islice(lines, LONGEST_RECORD_LINES)
            raise _QuoteNotClosedError

        reader = csv.reader(closed(), delimiter=self.delimiter)
        try:
            return next(reader), reader.line_num
        except _QuoteNotClosedError:
            return "a quote is opened and never closed", 1
        except csv.Error as error:
            return f"not readable as a row: {error}", 1
