"""How far this server has followed the change feed: what is written elsewhere counts here once it was seen."""

from collections.abc import Sequence

from sqlalchemy import select

from graph.storage.changes import Change
from graph.storage.database import Database
from graph.storage.tables import change
from graph.storage.times import SECOND_US, now_us


class Feed:
    """Written by the thread that follows, read by any."""

    def __init__(self, newest_event_us: int | None) -> None:
        self.newest_event_us = newest_event_us
        """When the newest events were recorded, by any process; None before the first."""
        self.followed_us = now_us()
        """When the feed was last read to its end."""
        self.lag_s = 0.0
        """How old the newest change was when it was seen here, seconds."""

    @classmethod
    def of(cls, database: Database) -> "Feed":
        """As the store has it now. Raises StoreUnavailableError."""
        newest = select(change.c.recorded_at).where(change.c.kind == "events").order_by(change.c.id.desc()).limit(1)
        with database.connect() as connection:
            return cls(connection.execute(newest).scalar())

    def seen(self, changes: Sequence[Change]) -> None:
        self.followed_us = now_us()
        if changes:
            self.lag_s = max(0, self.followed_us - changes[-1].recorded_at) / SECOND_US
        for each in changes:
            if each.kind == "events":
                self.newest_event_us = max(self.newest_event_us or 0, each.recorded_at)
