"""How a moment of the store is named on the command line, and the two snapshots that are to be compared."""

import re
from dataclasses import dataclass

from graph import reading
from graph.snapshot import Snapshot, take_snapshot
from graph.storage import registry
from graph.storage.database import Database
from graph.storage.errors import BadInputError
from graph.storage.times import now_us, parse_time

NOW = "now"


@dataclass(frozen=True)
class Moment:
    text: str  # as it was given
    as_of: int | None  # us; None: just after the newest event
    known_at: int | None  # us; None: now
    recorded_hash: str | None = None  # what a model's revision says that its snapshot held


def parse_moment(text: str, database: Database) -> Moment:
    """`2026-01-31`, `now`, either with `@KNOWN` behind it, or a model's version such as `m7.12`.

    Raises BadInputError for what is none of these, NotFoundError for a version that does not exist.
    """
    if re.fullmatch(r"m\d+\.\d+", text):
        revision = registry.get_revision(database, registry.parse_version(text))
        return Moment(text, revision.as_of, revision.known_at, revision.snapshot_hash)
    as_of, _, known_at = text.partition("@")
    try:
        return Moment(text, _time(as_of), _time(known_at or NOW))
    except ValueError as error:
        raise BadInputError(
            f"{text!r} is no moment of the store.",
            hint="Write 2026-01-31, 2026-01-31@2026-02-01T12:00:00Z (as of, known at), now, or a version like m7.12.",
        ) from error


def take_both(database: Database, before: Moment, after: Moment) -> tuple[Snapshot, Snapshot]:
    """Both snapshots. What was known at one time is read once, and the earlier moment cut out of the later."""
    now = now_us()
    known = [now if moment.known_at is None else moment.known_at for moment in (before, after)]
    as_of = [
        reading.end_of_events(database, at) if moment.as_of is None else moment.as_of
        for moment, at in zip((before, after), known, strict=True)
    ]
    if known[0] != known[1]:
        first, second = (take_snapshot(database, as_of=t, known_at=at) for t, at in zip(as_of, known, strict=True))
        return first, second
    later = take_snapshot(database, as_of=max(as_of), known_at=known[0])
    return later.until(as_of[0]), later.until(as_of[1])


def _time(text: str) -> int | None:
    return None if text == NOW else parse_time(text)
