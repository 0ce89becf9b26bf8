"""What answers, all of it: the engines at hand, the one that is active, and the users that labels take."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from graph.storage.errors import ConflictError
from graph.storage.labels import Label
from server.engine import Engine

KEPT = 2
"""Revisions that were active last and stay loaded: the one that answers, and one for its tokens. Each takes memory of
its own, about that of one model; files are mapped, and what two processes have in common is there once."""


@dataclass(frozen=True)
class Loaded:
    """Engines by version. Never changed but replaced as a whole: a call sees the one or the other.

    `active`: the versions that were active last, the one that is now at the end. `labels`: those that take users.
    """

    engines: Mapping[str, Engine] = field(default_factory=dict)
    active: tuple[str, ...] = ()
    labels: tuple[Label, ...] = ()

    @property
    def version(self) -> str:
        """What is active; empty where nothing is."""
        return next(reversed(self.active), "")

    @property
    def current(self) -> Engine | None:
        return self.engines.get(self.version)

    def of_user(self, user: str) -> Engine | None:
        """The engine that answers a user, by external id: that of a label which takes the user, else the active one."""
        label = next((each for each in self.labels if each.takes(user)), None)
        return self.current if label is None else self.engines[str(label.version)]

    def at(self, version: str) -> Engine:
        """The engine of a revision that a token names. ConflictError once it is gone."""
        engine = self.engines.get(version)
        if engine is None:
            raise ConflictError(
                f"Revision {version} is no longer served.",
                hint="Start anew with an empty token.",
                reason="MODEL_VERSION_GONE",
            )
        return engine

    def with_engine(self, version: str, engine: Engine) -> "Loaded":
        return replace(self, engines={**self.engines, version: engine})

    def with_active(self, version: str) -> "Loaded":
        kept = (*(each for each in self.active if each != version), version)[-KEPT:]
        return replace(self, active=kept)._trimmed()

    def with_labels(self, labels: tuple[Label, ...]) -> "Loaded":
        return replace(self, labels=labels)._trimmed()

    def each(self, change: Callable[[Engine], Engine]) -> "Loaded":
        return replace(self, engines={version: change(engine) for version, engine in self.engines.items()})

    def _trimmed(self) -> "Loaded":
        """Without engines that nothing names any more."""
        named = {*self.active, *(str(label.version) for label in self.labels)}
        return replace(self, engines={v: engine for v, engine in self.engines.items() if v in named})
