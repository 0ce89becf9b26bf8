"""Follows the change feed for one purpose: what is kept of users who did something is forgotten."""

import time

from graph.storage.changes import Change, Tidings
from graph.storage.database import Database
from server.known_users import KnownUsers
from server.repeating import Repeating

POLL_MS = 200


class UserFeed(Repeating):
    """A thread of its own: loading a model takes seconds, in which events must still be heard of."""

    def __init__(self, database: Database, known: KnownUsers) -> None:
        super().__init__("follow-users", self._look, every_s=POLL_MS / 1_000, what="follow what users do")
        self._database = database
        self._known = known
        self._tidings: Tidings | None = None

    def _look(self) -> None:
        """Where the store is away nothing that is kept counts until it is back."""
        began = time.monotonic()
        if self._tidings is None:
            self._tidings = Tidings(self._database)
            self._known.forget(None)  # whatever was kept before anybody listened
        for change in self._tidings.poll():
            self._tell(change)
        self._known.feed_was_read(began)

    def _tell(self, change: Change) -> None:
        if change.kind == "events":
            self._known.forget(change.detail.get("users"))
