"""Which revisions are loaded: follows the change feed and swaps engines while calls go on.

A call takes an engine once and keeps it, so no answer mixes two revisions. Loaded are the last two that were active, so
that page and resume tokens of the one before remain good, and what labels give users to. One that cannot be loaded
leaves the old one serving; users of a label are then answered by what is active.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import structlog

from graph.storage.changes import Follower
from graph.storage.database import Database
from graph.storage.errors import ArtifactError
from graph.storage.labels import Label, labels
from graph.storage.registry import active_revision, get_revision
from graph.storage.times import now_us
from server.engine import Engine
from server.live import read_live_catalog
from server.loaded import Loaded
from server.owner.ask import NetOwner
from server.repeating import Repeating
from server.revision import load_revision
from server.watch.feed import Feed

log = structlog.get_logger("penchant.server")

POLL_MS = 200
RETRY_MS = 5_000
"""How soon a revision that could not be loaded is tried again: its folder may still be on its way."""
COUNT_AGAIN_S = 3_600.0
"""How old the counts of what sold lately may become; they are part of what orders the items."""
CATALOG_NAMES = {"items", "categories", "kinds"}
"""What a change of the catalog must name to matter here; profiles of users do not."""


class Models(Repeating):
    """The engines of the revisions at hand. `on_ready` is called once something can answer."""

    def __init__(
        self, database: Database, artifacts: Path, on_ready: Callable[[], None], owner: NetOwner | None = None
    ) -> None:
        """owner: of the device, asked for users' vectors."""
        super().__init__("follow-changes", self._look, every_s=POLL_MS / 1_000, what="follow changes")
        self._database = database
        self._artifacts = artifacts
        self._on_ready = on_ready
        self._owner = owner
        self._loaded = Loaded()
        self._follower = Follower(database)
        self.feed = Feed.of(database)
        self._catalog_changed = False
        self._next_try = 0.0
        """When revisions are looked at again without a change (monotonic seconds); infinite: not at all."""
        self._count_next = time.monotonic() + COUNT_AGAIN_S
        self._problems: dict[str, str] = {}

    def start(self) -> None:
        """Loads what is active, if anything is, then follows. Does not raise for a broken artifact."""
        self._see_revisions()
        super().start()

    @property
    def problem(self) -> str:
        """Why a revision that should answer does not; empty where all is well."""
        return " ".join(self._problems.values())

    @property
    def labels(self) -> tuple[Label, ...]:
        """Those whose users are answered by their revisions."""
        return self._loaded.labels

    def current(self) -> Engine:
        """The engine of what is active. ArtifactError where none could be loaded."""
        return self._there(self._loaded.current)

    def of_user(self, user: str) -> Engine:
        """The engine that answers a user, by external id. ArtifactError where none could be loaded."""
        return self._there(self._loaded.of_user(user))

    def at(self, version: str) -> Engine:
        """The engine of a revision that a token names. ConflictError once it is gone."""
        return self._loaded.at(version)

    def _there(self, engine: Engine | None) -> Engine:
        if engine is None:
            hint = "Train one with `penchant train`, or activate one with `penchant models activate`."
            raise ArtifactError(self.problem or f"No model is active. {hint}", reason="NO_MODEL")
        return engine

    def _look(self) -> None:
        """Notes what changed before acting on it, so that nothing is lost when acting fails."""
        changes = self._follower.poll()
        self.feed.seen(changes)
        for change in changes:
            self._catalog_changed |= change.kind == "catalog" and not CATALOG_NAMES.isdisjoint(change.detail)
            if change.kind == "activation":
                self._next_try = 0.0
        if time.monotonic() >= self._next_try:
            self._see_revisions()
        if self._catalog_changed:
            self._see_catalog()
            self._catalog_changed = False
        if time.monotonic() >= self._count_next:
            self._count_again()

    def _see_revisions(self) -> None:
        """Loads what should answer and is not there. What is active goes first: nobody waits for a label."""
        problems: dict[str, str] = {}
        active, wanted = active_revision(self._database), [each for each in labels(self._database) if each.share > 0]
        if active is not None and self._make_ready(str(active.version), active.path, problems):
            self._activate(str(active.version))
        ready = []
        for label in wanted:
            version = str(label.version)
            if self._make_ready(version, get_revision(self._database, label.version).path, problems):
                ready.append(label)
        self._loaded = self._loaded.with_labels(tuple(ready))
        self._problems = problems
        self._next_try = time.monotonic() + RETRY_MS / 1_000 if problems else float("inf")

    def _make_ready(self, version: str, path: str, problems: dict[str, str]) -> bool:
        """Loads a revision unless it is there; `problems` is told where that fails, the log once."""
        if version in self._loaded.engines:
            return True
        try:
            engine = self._load(self._artifacts / path)
        except ArtifactError as error:
            problems[version] = str(error)
            if self._problems.get(version) != str(error):
                serving = self._loaded.version or None
                log.error("cannot load", version=version, reason=error.reason, message=str(error), serving=serving)
            return False
        self._loaded = self._loaded.with_engine(version, engine)
        return True

    def _load(self, path: Path) -> Engine:
        loaded = load_revision(path, self._owner.of if self._owner else None)
        return Engine(self._database, loaded, read_live_catalog(self._database, loaded.artifact))

    def _activate(self, version: str) -> None:
        if version != self._loaded.version:
            self._loaded = self._loaded.with_active(version)
            log.info("serving", version=version)
            self._on_ready()

    def _see_catalog(self) -> None:
        self._loaded = self._loaded.each(
            lambda engine: replace(engine, live=read_live_catalog(self._database, engine.revision.artifact))
        )

    def _count_again(self) -> None:
        self._loaded = self._loaded.each(
            lambda engine: replace(engine, revision=replace(engine.revision, fast=engine.revision.fast.as_of(now_us())))
        )
        self._count_next = time.monotonic() + COUNT_AGAIN_S
