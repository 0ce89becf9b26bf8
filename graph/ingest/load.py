"""From a mapping and its files into the store: categories, items, users, events, one bounded batch at a time.

Every batch is one transaction and every write is idempotent, so a load that was interrupted is simply run again.
"""

import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import polars as pl
import pyarrow as pa

from graph.ingest.batch import FILE_SHIFT, LINE, Batch, Reader
from graph.ingest.cleaning import NOTHING, Batches, Cleaning, clean_events, clean_rows, told
from graph.ingest.mapping import Categories, Events, Items, Mapping, TableMapping, TableName, Users
from graph.ingest.mended import MendedReader
from graph.ingest.normalise import (
    Normal,
    normalise_categories,
    normalise_events,
    normalise_items,
    normalise_users,
    to_arrow,
    to_rejects,
)
from graph.ingest.numeric_fields import NumericFields
from graph.ingest.readers import open_reader, refuse_missing
from graph.ingest.rejects import Reject, RejectsFile
from graph.ingest.repeats import Repeats
from graph.ingest.sources import STANDARD_INPUT, expanded
from graph.ingest.tolerance import Tolerance
from graph.storage.categories import upsert_categories
from graph.storage.columns import CATEGORIES, EVENTS, ITEMS, USERS
from graph.storage.database import Database
from graph.storage.errors import BadInputError
from graph.storage.event_ids import EventIds
from graph.storage.events import append_events
from graph.storage.items import upsert_items
from graph.storage.outcomes import Outcome, Outcomes
from graph.storage.times import now_us
from graph.storage.users import upsert_users
from graph.threads import ahead

T = TypeVar("T", bound=TableMapping)
ItemsOrUsers = TypeVar("ItemsOrUsers", Items, Users)
Progress = Callable[[TableName, int, int], None]
"""Called after every batch with the table, how much of its files is read, and of how much: bytes or rows, 0 unknown."""

REPEATED = "repeated"
REJECTED = "rejected"


@dataclass
class TableSummary:
    """What became of a table's files. `counts`: accepted, duplicate, unchanged, repeated, cleaned (left out), rejected;
    of the last there are `reasons`."""

    table: TableName
    files: list[Path]
    rows: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


@dataclass
class Load:
    """One run. `database` None is a dry run: all that can be said without the store is said, nothing is written.

    `mended`: the files are rejects files of earlier loads, their rows mended.
    """

    database: Database | None
    source: str
    rejects: RejectsFile
    progress: Progress | None = None
    cleaning: Cleaning = NOTHING
    tolerance: Tolerance = field(default_factory=Tolerance)
    mended: bool = False
    recorded_at: int = field(default_factory=now_us)
    _known_nodes: set[str] = field(default_factory=set)

    def run(self, mapping: Mapping, files: dict[TableName, Path]) -> Iterator[TableSummary]:
        """Load each table that has files; a summary follows each. Raises PenchantError for a file bad as a whole."""
        tables = _given(mapping, files)
        self._refuse(tables, files)
        opened: dict[TableName, tuple[TableMapping, list[Reader]]] = {}
        for name, table in tables.items():
            all_tables = () if opened else mapping.tables()
            opened[name] = table, self._open(name, table, files[name], all_tables)
        if self.database is not None:
            self.database.require_schema()
        for name, (table, readers) in opened.items():
            started = time.perf_counter()
            summary = TableSummary(name, [reader.path for reader in readers])
            self._load(table, readers, summary)
            summary.seconds = time.perf_counter() - started
            yield summary

    def _refuse(self, tables: dict[TableName, TableMapping], files: dict[TableName, Path]) -> None:
        """Raises BadInputError for what does not go together."""
        if sum(path == STANDARD_INPUT for path in files.values()) > 1:
            raise BadInputError("Standard input can hold one table only.", hint="Name a file for the others.")
        self.cleaning.check(tables)
        for name, table in tables.items():
            if self.cleaning.touches(name, table) and (self.mended or files[name] == STANDARD_INPUT):
                what = "The rows of a rejects file" if self.mended else "Standard input"
                raise BadInputError(
                    f"{what} cannot be cleaned: cleaning first learns what is usual in the whole file.",
                    hint="Clean when loading from files, or leave the cleaning out.",
                )

    def _open(self, name: TableName, table: TableMapping, path: Path, all_tables: Sequence[str]) -> list[Reader]:
        if self.mended:
            return [MendedReader(path, name, table, all_tables=all_tables)]
        return [open_reader(one, table) for one in expanded(path)]

    def _load(self, table: TableMapping, readers: list[Reader], summary: TableSummary) -> None:
        match table:
            case Categories():
                self._load_categories(table, readers, summary)
            case Items():
                self._load_rows(table, readers, summary, normalise_items, ITEMS, upsert_items)
            case Users():
                self._load_rows(table, readers, summary, normalise_users, USERS, upsert_users)
            case Events():
                self._load_events(table, readers, summary)

    def _load_categories(self, table: Categories, readers: list[Reader], summary: TableSummary) -> None:
        # A parent may stand anywhere in the file, so the tree is written as a whole; trees are small.
        repeats = Repeats([str(path) for path in summary.files])
        batches: list[tuple[pl.DataFrame, pl.DataFrame]] = []
        for batch, normal in self._batches(table, readers, summary, normalise_categories):
            self._create_nodes(normal.nodes)
            batches.append((self._kept(batch, normal, repeats, summary), batch.rows))
        if not batches:
            return
        rows = pl.concat([kept for kept, _ in batches])
        sources = pl.concat([source for _, source in batches], how="diagonal_relaxed")
        if self.database is not None:
            table_ = to_arrow(rows.drop(LINE), CATEGORIES)
            outcomes = upsert_categories(self.database, table_, recorded_at=self.recorded_at)
            self._note(outcomes, rows[LINE], sources, summary)

    def _load_rows(
        self,
        table: ItemsOrUsers,
        readers: list[Reader],
        summary: TableSummary,
        normalise: Callable[[pl.DataFrame, ItemsOrUsers], Normal],
        schema: pa.Schema,
        upsert: Callable[..., Outcomes],
    ) -> None:
        """Items or users."""
        repeats = Repeats([str(path) for path in summary.files])
        first_reading = self._first_reading(table, readers, normalise, summary.table)
        fields = clean_rows(self.cleaning, summary.table, table, first_reading)

        def cleaned(rows: pl.DataFrame, table: ItemsOrUsers) -> Normal:
            return normalise(fields.apply(rows) if fields else rows, table)

        for batch, normal in self._batches(table, readers, summary, cleaned):
            self._create_nodes(normal.nodes)
            rows = self._kept(batch, normal, repeats, summary)
            if self.database is not None:
                outcomes = upsert(self.database, to_arrow(rows.drop(LINE), schema), recorded_at=self.recorded_at)
                self._note(outcomes, rows[LINE], batch.rows, summary)
        self._note_cleaning(fields, summary)

    def _load_events(self, table: Events, readers: list[Reader], summary: TableSummary) -> None:
        ids = EventIds(self.source)
        cleaner = clean_events(
            self.cleaning, table, self._first_reading(table, readers, normalise_events, summary.table)
        )
        for batch, normal in self._batches(table, readers, summary, normalise_events):
            self._reject(normal.rejects, summary)
            clean = cleaner.next_batch(normal.rows.height) if cleaner else None
            if self.database is not None:
                outcomes = append_events(
                    self.database,
                    to_arrow(normal.rows.drop(LINE), EVENTS),
                    source=self.source,
                    unknown_items=table.unknown_items,
                    recorded_at=self.recorded_at,
                    ids=ids,
                    clean=clean,
                )
                self._note(outcomes, normal.rows[LINE], batch.rows, summary)
            elif clean:
                left = clean(normal.rows.with_row_index("row"))
                summary.counts[Outcome.CLEANED.value] += normal.rows.height - left.height
        if cleaner:
            summary.notes += told(cleaner.fields, cleaner.dropped)

    def _read(
        self, table: T, readers: list[Reader], normalise: Callable[[pl.DataFrame, T], Normal], name: TableName
    ) -> Iterator[tuple[Reader, Batch, Normal]]:
        """The batches of all files in turn, normalised; reports progress."""
        done, total = 0, sum(reader.total for reader in readers)
        for number, reader in enumerate(readers):
            read = 0
            for batch in (_numbered(batch, number) for batch in reader.batches()):
                yield reader, batch, normalise(batch.rows, table)
                read = batch.done
                if self.progress is not None:
                    self.progress(name, done + read, total)
            done += read

    def _first_reading(
        self, table: T, readers: list[Reader], normalise: Callable[[pl.DataFrame, T], Normal], name: TableName
    ) -> Batches:
        """For a cleaning, which has to know all before it changes any of it. Rejects are told when it is loaded."""

        def batches() -> Iterator[tuple[pl.DataFrame, Normal]]:
            for _, batch, normal in self._read(table, readers, normalise, name):
                if batch.rows.height:
                    yield batch.rows, normal

        return batches

    def _batches(
        self, table: T, readers: list[Reader], summary: TableSummary, normalise: Callable[[pl.DataFrame, T], Normal]
    ) -> Iterator[tuple[Batch, Normal]]:
        """The readers' batches; counts rows, sets aside the lines that are none.

        The next batch is read and normalised in a thread while the store takes the last one.
        """
        found: dict[Path, set[str]] = {reader.path: set() for reader in readers if reader.columns is None}
        for reader, batch, normal in ahead(self._read(table, readers, normalise, summary.table)):
            if (names := found.get(reader.path)) is not None:
                if not names and batch.rows.height:
                    refuse_missing(reader.path, table.required(), [name for name in batch.rows.columns if name != LINE])
                names.update(batch.rows.columns)
            summary.rows += batch.rows.height + len(batch.rejects)
            self._reject(batch.rejects, summary)
            if batch.rows.height:
                yield batch, normal
                # A statement of SQLAlchemy is a cycle that holds what it was run with: the ids of a batch. Python would
                # come round to them only after many batches, for they are few objects, if large ones.
                gc.collect()
        for path, names in found.items():
            missing = [name for name in dict.fromkeys(table.optional()) if names and name not in names]
            summary.notes += [f"no line of {path.name} has {name!r}" for name in missing]

    def _kept(self, batch: Batch, normal: Normal, repeats: Repeats, summary: TableSummary) -> pl.DataFrame:
        """The rows to store, repeated ids sorted out."""
        self._reject(normal.rejects, summary)
        rows, refused, repeated = repeats.sort_out(normal.rows)
        summary.counts[REPEATED] += repeated
        self._reject_lines(refused, batch.rows, summary)
        return rows

    def _reject(self, rejects: list[Reject], summary: TableSummary) -> None:
        summary.counts[REJECTED] += len(rejects)
        # Reasons name values ("unknown kind: 'x7'"); the summary counts them without.
        summary.reasons.update(reject.reason.split(":")[0] for reject in rejects)
        placed = [_placed(reject, summary.files) for reject in rejects]
        self.rejects.add(summary.table, placed)
        self.tolerance.check(summary.table, summary.rows, summary.counts[REJECTED], placed)

    def _reject_lines(self, refused: pl.DataFrame, sources: pl.DataFrame, summary: TableSummary) -> None:
        """`refused` has LINE and `reason`, `sources` the rows as they were read."""
        if refused.height:
            rows = refused.select(LINE).join(sources, on=LINE, how="left", maintain_order="left")
            self._reject(to_rejects(rows, refused["reason"]), summary)

    def _note(self, outcomes: Outcomes, lines: pl.Series, sources: pl.DataFrame, summary: TableSummary) -> None:
        """Count what the store said of each row; what it refused goes to the rejects file."""
        for outcome in (Outcome.ACCEPTED, Outcome.DUPLICATE, Outcome.UNCHANGED, Outcome.CLEANED):
            summary.counts[outcome.value] += outcomes.count(outcome)
        refused = outcomes.rejects()
        if refused:
            reasons = [
                f"{outcome.replace('_', ' ')}: {reason}" if reason else outcome for _, outcome, reason in refused
            ]
            numbers = lines.gather([row for row, _, _ in refused])
            self._reject_lines(pl.DataFrame([numbers, pl.Series("reason", reasons)]), sources, summary)

    def _note_cleaning(self, fields: NumericFields | None, summary: TableSummary) -> None:
        if fields:
            summary.counts[Outcome.CLEANED.value] += fields.dropped
            summary.notes += told(fields)

    def _create_nodes(self, nodes: pl.DataFrame | None) -> None:
        """Categories made on the way, each once a load. One that the store refuses is refused with its items."""
        if nodes is None or self.database is None:
            return
        new = nodes.filter(~pl.col("category").is_in(self._known_nodes))
        if new.height:
            upsert_categories(self.database, to_arrow(new, CATEGORIES), recorded_at=self.recorded_at)
            self._known_nodes.update(new["category"])


def _numbered(batch: Batch, file: int) -> Batch:
    """The batch with the number of its file in LINE."""
    if file == 0:
        return batch
    rejects = [replace(reject, line=reject.line | file << FILE_SHIFT) for reject in batch.rejects]
    return replace(batch, rows=batch.rows.with_columns(pl.col(LINE) + (file << FILE_SHIFT)), rejects=rejects)


def _placed(reject: Reject, files: list[Path]) -> tuple[str, Reject]:
    """(the file, the reject with its line there)."""
    return str(files[reject.line >> FILE_SHIFT]), replace(reject, line=reject.line & ((1 << FILE_SHIFT) - 1))


def _given(mapping: Mapping, files: dict[TableName, Path]) -> dict[TableName, TableMapping]:
    tables = {name: mapping.table(name) for name in mapping.tables() if name in files}
    return {name: table for name, table in tables.items() if table is not None}


def load(
    database: Database | None,
    mapping: Mapping,
    files: dict[TableName, Path],
    rejects: Path,
    progress: Progress | None = None,
    *,
    tolerance: Tolerance | None = None,
    mended: bool = False,
    cleaning: Cleaning = NOTHING,
) -> list[TableSummary]:
    """Load `files` (table -> path, glob or -) as `mapping` says; bad rows go to `rejects`. `database` None only checks.

    `mended`: the files are rejects files. Raises PenchantError for a file that is bad as a whole, or with more bad rows
    than `tolerance` allows; what was stored before stays and is found again next time.
    """
    rejects_file, complete = RejectsFile(rejects), False
    try:
        run = Load(database, mapping.source, rejects_file, progress, cleaning, tolerance or Tolerance(), mended)
        summaries = list(run.run(mapping, files))
        complete = True
        return summaries
    finally:
        rejects_file.close(complete=complete)
