"""Which revisions are loaded: follows the change feed and swaps engines while calls go on.

A call takes an engine once and keeps it, so no answer mixes two revisions. The last two revisions stay loaded, so that
page and resume tokens of the one before remain good. A revision that cannot be loaded leaves the old one serving.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import structlog

from graph.storage.changes import Follower
from graph.storage.database import Database
from graph.storage.errors import ArtifactError, ConflictError
from graph.storage.registry import active_revision
from graph.storage.times import now_us
from server.engine import Engine
from server.live import read_live_catalog
from server.logs import Trouble
from server.revision import load_revision
from server.watch.feed import Feed

log = structlog.get_logger("penchant.server")

POLL_MS = 200
RETRY_MS = 5_000
"""How soon a revision that could not be loaded is tried again: its folder may still be on its way."""
COUNT_AGAIN_S = 3_600.0
"""How old the counts of what sold lately may become; they are part of what orders the items."""
KEPT = 2
CATALOG_NAMES = {"items", "categories", "kinds"}
"""What a change of the catalog must name to matter here; profiles of users do not."""


class Models:
    """The engines of the revisions at hand. `on_ready` is called once something can answer."""

    def __init__(self, database: Database, artifacts: Path, on_ready: Callable[[], None]) -> None:
        self._database = database
        self._artifacts = artifacts
        self._on_ready = on_ready
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        self._stopping = threading.Event()
        self._follower = Follower(database)
        self.feed = Feed.of(database)
        self._thread = threading.Thread(target=self._follow, name="follow-changes", daemon=True)
        self._catalog_changed = False
        self._next_try = 0.0
        """When the active revision is looked at again without a change (monotonic seconds); infinite: not at all."""
        self._count_next = time.monotonic() + COUNT_AGAIN_S
        self.problem = ""
        """Why the active revision is not the one that answers; empty where all is well."""

    def start(self) -> None:
        """Loads what is active, if anything is, then follows. Does not raise for a broken artifact."""
        self._activate()
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def current(self) -> Engine:
        """The engine that answers now. ArtifactError where none could be loaded."""
        engines = self._engines
        if not engines:
            hint = "Train one with `penchant train`, or activate one with `penchant models activate`."
            raise ArtifactError(self.problem or f"No model is active. {hint}", reason="NO_MODEL")
        return engines[next(reversed(engines))]

    def at(self, version: str) -> Engine:
        """The engine of a revision that a token names. ConflictError once it is gone."""
        engine = self._engines.get(version)
        if engine is None:
            raise ConflictError(
                f"Revision {version} is no longer served.",
                hint="Start anew with an empty token.",
                reason="MODEL_VERSION_GONE",
            )
        return engine

    def _follow(self) -> None:
        trouble = Trouble("follow changes")
        while not self._stopping.wait(POLL_MS / 1_000):
            try:
                self._look()
            except Exception as error:  # the store may be away for a while; the next round tries again
                trouble.happened(error)
            else:
                trouble.is_over()

    def _look(self) -> None:
        """Notes what changed before acting on it, so that nothing is lost when acting fails."""
        changes = self._follower.poll()
        self.feed.seen(changes)
        for change in changes:
            self._catalog_changed |= change.kind == "catalog" and not CATALOG_NAMES.isdisjoint(change.detail)
            if change.kind == "activation":
                self._next_try = 0.0
        if time.monotonic() >= self._next_try:
            self._activate()
        if self._catalog_changed:
            self._see_catalog()
            self._catalog_changed = False
        if time.monotonic() >= self._count_next:
            self._count_again()

    def _activate(self) -> None:
        revision = active_revision(self._database)
        version = str(revision.version) if revision else ""
        if revision is not None and version != next(reversed(self._engines), ""):
            try:
                engine = self._engines.get(version) or self._load(self._artifacts / revision.path)
            except ArtifactError as error:
                self._cannot_load(version, error)
                return
            self._serve(version, engine)
        self._next_try, self.problem = float("inf"), ""

    def _load(self, path: Path) -> Engine:
        loaded = load_revision(path)
        return Engine(self._database, loaded, read_live_catalog(self._database, loaded.artifact))

    def _serve(self, version: str, engine: Engine) -> None:
        engines = self._engines.copy()  # readers see the old or the new order, never one being changed
        engines[version] = engine
        engines.move_to_end(version)
        while len(engines) > KEPT:
            engines.popitem(last=False)
        self._engines = engines
        log.info("serving", version=version)
        self._on_ready()

    def _cannot_load(self, version: str, error: ArtifactError) -> None:
        if str(error) != self.problem:
            serving = next(reversed(self._engines), None)
            log.error("cannot load", version=version, reason=error.reason, message=str(error), serving=serving)
        self._next_try, self.problem = time.monotonic() + RETRY_MS / 1_000, str(error)

    def _see_catalog(self) -> None:
        engines = self._engines.copy()
        for version, engine in engines.items():
            live = read_live_catalog(self._database, engine.revision.artifact)
            engines[version] = Engine(self._database, engine.revision, live)
        self._engines = engines

    def _count_again(self) -> None:
        engines = self._engines.copy()
        for version, engine in engines.items():
            counted = replace(engine.revision, fast=engine.revision.fast.as_of(now_us()))
            engines[version] = replace(engine, revision=counted)
        self._engines = engines
        self._count_next = time.monotonic() + COUNT_AGAIN_S
