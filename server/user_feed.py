"""Follows the change feed for one purpose: what is kept of users who did something is forgotten."""

import threading
import time

from graph.storage.changes import Change, Tidings
from graph.storage.database import Database
from server.known_users import KnownUsers
from server.logs import Trouble

POLL_MS = 200


class UserFeed:
    """A thread of its own: loading a model takes seconds, in which events must still be heard of."""

    def __init__(self, database: Database, known: KnownUsers) -> None:
        self._database = database
        self._known = known
        self._tidings: Tidings | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="follow-users", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def _follow(self) -> None:
        trouble = Trouble("follow what users do")
        while True:
            try:
                self._look()
            except Exception as error:  # the store may be away; until it is back nothing that is kept counts
                trouble.happened(error)
            else:
                trouble.is_over()
            if self._stopping.wait(POLL_MS / 1_000):
                return

    def _look(self) -> None:
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
        elif change.kind == "erasure":
            self._known.forget(None)
