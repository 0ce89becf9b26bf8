"""What became of each row of a batch: a batch never fails as a whole because of one bad row."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import polars as pl


class Outcome(StrEnum):
    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"  # the same event was stored before, or stands earlier in the batch
    UNCHANGED = "unchanged"  # the catalog says so already
    CLEANED = "cleaned"  # left out by a cleaning that was asked for
    CONFLICT = "conflict"  # the same event_id with other content
    UNKNOWN_USER = "unknown_user"
    UNKNOWN_ITEM = "unknown_item"
    UNKNOWN_CATEGORY = "unknown_category"
    UNKNOWN_KIND = "unknown_kind"
    UNKNOWN_RETRACT = "unknown_retract"  # a retraction of an event that is not there, or cannot be withdrawn
    CYCLE = "cycle"  # a category would be its own ancestor
    IN_USE = "in_use"  # a category that others hang below cannot be deleted
    SUPERSEDED = "superseded"  # a later row of the batch says otherwise of the same thing at the same time
    BAD_ID = "bad_id"
    BAD_VALUE = "bad_value"
    BAD_TIME = "bad_time"
    BAD_JSON = "bad_json"


HARMLESS = frozenset({Outcome.ACCEPTED, Outcome.DUPLICATE, Outcome.UNCHANGED, Outcome.CLEANED})
_ALL = tuple(Outcome)


Rule = tuple[pl.Expr, Outcome, pl.Expr | str]
"""What holds of a bad row, what it is called then, and the sentence that says so."""


class Reject(NamedTuple):
    row: int  # position in the batch, from 0
    outcome: Outcome
    reason: str  # a sentence for a person


class Outcomes:
    """One outcome a row, in the batch's order; a row is accepted until something else is said of it."""

    def __init__(self, rows: int) -> None:
        self._codes = np.zeros(rows, np.uint8)
        self._reasons: dict[int, str] = {}

    def copy(self) -> "Outcomes":
        """For a transaction that may have to run again."""
        copied = Outcomes(len(self))
        copied._codes[:] = self._codes
        copied._reasons.update(self._reasons)
        return copied

    def part(self, start: int, end: int) -> "Outcomes":
        """Those of the rows `[start, end)`, numbered from 0."""
        part = Outcomes(end - start)
        part._codes[:] = self._codes[start:end]
        part._reasons.update((row - start, why) for row, why in self._reasons.items() if start <= row < end)
        return part

    def __len__(self) -> int:
        return len(self._codes)

    def __getitem__(self, row: int) -> Outcome:
        return _ALL[int(self._codes[row])]

    def reason(self, row: int) -> str:
        """Why the row was not accepted, empty where there is nothing to say."""
        return self._reasons.get(row, "")

    def count(self, outcome: Outcome) -> int:
        return int(np.count_nonzero(self._codes == _ALL.index(outcome)))

    def counts(self) -> dict[Outcome, int]:
        """The outcomes that occur, with their numbers of rows."""
        numbers = np.bincount(self._codes, minlength=len(_ALL))
        return {outcome: int(number) for outcome, number in zip(_ALL, numbers, strict=True) if number}

    def rejects(self) -> list[Reject]:
        """The rows that somebody has to look at, in order."""
        harmless = [_ALL.index(outcome) for outcome in HARMLESS]
        rows = np.flatnonzero(~np.isin(self._codes, harmless))
        return [Reject(row, self[row], self.reason(row)) for row in rows.tolist()]

    def mark(self, rows: Iterable[int], outcome: Outcome, reasons: Iterable[str] | str = "") -> None:
        """Says `outcome` of `rows`; `reasons` is one sentence for all of them, or one each."""
        numbers = list(rows)
        self._codes[numbers] = _ALL.index(outcome)
        if isinstance(reasons, str):
            reasons = [reasons] * len(numbers) if reasons else []
        self._reasons.update(zip(numbers, reasons, strict=False))

    def refuse(self, frame: pl.DataFrame, bad: pl.Expr, outcome: Outcome, reason: pl.Expr | str) -> pl.DataFrame:
        """Marks the rows of `frame` (its column `row` numbers them) for which `bad` holds; returns the others."""
        return self.enforce(frame, [(bad, outcome, reason)])

    def enforce(self, frame: pl.DataFrame, rules: Sequence[Rule]) -> pl.DataFrame:
        """The same for several rules; a row is marked by the first that it breaks."""
        broken = frame.select(bad.fill_null(False).any().alias(str(number)) for number, (bad, _, _) in enumerate(rules))
        for is_broken, (bad, outcome, reason) in zip(broken.row(0), rules, strict=True):
            if is_broken:  # seldom: a batch without a bad row is scanned once
                hit = frame.filter(bad.fill_null(False))
                sentences = reason if isinstance(reason, str) else hit.select(reason).to_series().to_list()
                self.mark(hit["row"], outcome, sentences)
                frame = frame.filter(~bad.fill_null(False))
        return frame
