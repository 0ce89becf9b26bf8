"""Models and their revisions, and which one is active. The files are the artifact's; here is what they are called."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, func, insert, select

from graph.storage.changes import append_change
from graph.storage.database import Database
from graph.storage.errors import BadInputError, ConflictError, NotFoundError
from graph.storage.tables import activation, model, model_revision
from graph.storage.times import now_us
from graph.storage.versions import lock_catalog


class Version(NamedTuple):
    """`m7.12` is revision 12 of model 7."""

    model: int
    revision: int

    def __str__(self) -> str:
        return f"m{self.model}.{self.revision}"


def parse_version(text: str) -> Version:
    """Raises BadInputError for what is not of the form m7.12."""
    match = re.fullmatch(r"m([1-9][0-9]{0,17})\.([1-9][0-9]{0,8})", text)
    if not match:
        raise BadInputError(
            f"{text!r} is no model version.",
            hint="Versions look like m7.12.",
            field="version",
            reason="INVALID_VERSION",
        )
    return Version(int(match[1]), int(match[2]))


@dataclass(frozen=True)
class Revision:
    version: Version
    vector_space: str  # changes only where vectors stop being comparable
    path: str  # folder below the artifacts folder
    as_of: int  # us
    known_at: int  # us
    snapshot_hash: str
    metrics: Mapping[str, Any]
    config: Mapping[str, Any]  # the model's
    created_at: int  # us
    comparison: Mapping[str, Any] | None = None  # how it did beside what was active


@dataclass(frozen=True)
class Activation:
    version: Version
    activated_at: int  # us
    is_rollback: bool
    forced: bool  # promoted although the gate said no
    reason: str | None
    gate: Sequence[Mapping[str, Any]] | None = None  # what was checked


def create_model(database: Database, *, vector_space: str | None = None, config: Mapping[str, Any]) -> int:
    """A new model's number. Its vectors are comparable with no other's unless it names a `vector_space` in use."""
    with database.begin() as connection:
        values = {"vector_space": vector_space or "", "config": dict(config), "created_at": now_us()}
        number: int = connection.execute(insert(model).values(**values).returning(model.c.id)).scalar_one()
        if not vector_space:
            connection.execute(model.update().where(model.c.id == number).values(vector_space=f"m{number}"))
        return number


def next_version(database: Database, model_number: int) -> Version:
    """What `add_revision` will call the next revision, if nobody adds one before. Raises NotFoundError."""
    with database.connect() as connection:
        return _next(connection, model_number)


def add_revision(
    database: Database,
    model_number: int,
    *,
    path: str,
    as_of: int,
    known_at: int,
    snapshot_hash: str,
    metrics: Mapping[str, Any],
    version: Version | None = None,
    comparison: Mapping[str, Any] | None = None,
) -> Version:
    """Registers a published artifact. Raises NotFoundError, and ConflictError when `version` is not the next one."""
    with database.begin() as connection:
        lock_catalog(connection)
        following = _next(connection, model_number)
        if version is not None and version != following:
            raise ConflictError(
                f"{version} is not the next revision of its model, {following} is.", hint="Publish it again as that."
            )
        connection.execute(
            insert(model_revision).values(
                model_id=model_number,
                number=following.revision,
                path=path,
                as_of=as_of,
                known_at=known_at,
                snapshot_hash=snapshot_hash,
                metrics=dict(metrics),
                created_at=now_us(),
                comparison=comparison,
            )
        )
    return following


def note_comparison(database: Database, version: Version, comparison: Mapping[str, Any]) -> None:
    """Keeps how a revision did beside what is active now, in place of what was noted before. Raises NotFoundError."""
    with database.begin() as connection:
        number = row_of(connection, version).id
        connection.execute(
            model_revision.update().where(model_revision.c.id == number).values(comparison=dict(comparison))
        )


def _next(connection: Connection, model_number: int) -> Version:
    if connection.execute(select(model.c.id).where(model.c.id == model_number)).scalar() is None:
        raise NotFoundError(f"There is no model {model_number}.", hint="`penchant models` lists them.")
    query = select(func.max(model_revision.c.number)).where(model_revision.c.model_id == model_number)
    return Version(model_number, (connection.execute(query).scalar() or 0) + 1)


def revisions(database: Database) -> list[Revision]:
    """All revisions, oldest first."""
    with database.connect() as connection:
        return [_revision(row) for row in connection.execute(_revisions().order_by(model_revision.c.id))]


def get_revision(database: Database, version: Version) -> Revision:
    """Raises NotFoundError."""
    with database.connect() as connection:
        return _revision(row_of(connection, version))


def active_revision(database: Database) -> Revision | None:
    """What serves; None before the first activation."""
    with database.connect() as connection:
        query = _revisions().join(activation, activation.c.model_revision_id == model_revision.c.id)
        row = connection.execute(query.order_by(activation.c.id.desc()).limit(1)).one_or_none()
        return None if row is None else _revision(row)


def activations(database: Database) -> list[Activation]:
    """Who served when, oldest first."""
    columns = activation.c
    with database.connect() as connection:
        rows = connection.execute(
            select(
                model_revision.c.model_id, model_revision.c.number,
                columns.activated_at, columns.is_rollback, columns.forced, columns.reason, columns.gate,
            ).join(model_revision, model_revision.c.id == columns.model_revision_id).order_by(columns.id)
        )  # fmt: skip
        return [Activation(Version(row[0], row[1]), *row[2:]) for row in rows]


def activate(
    database: Database,
    version: Version,
    *,
    forced: bool = False,
    reason: str | None = None,
    gate: Sequence[Mapping[str, Any]] | None = None,
    after: Version | None = None,
) -> Revision:
    """Makes `version` serve; nothing happens if it does already.

    after: what has to serve until then. Raises NotFoundError, and ConflictError where another was activated meanwhile.
    """
    with database.begin() as connection:
        lock_catalog(connection)
        row = row_of(connection, version)
        newest = connection.execute(select(activation.c.model_revision_id).order_by(activation.c.id.desc()).limit(1))
        serving = newest.scalar()
        if after is not None and serving != row_of(connection, after).id:
            raise ConflictError(
                f"{after} serves no longer: another revision was activated meanwhile.",
                hint=f"{version} is there; activate it by its name if it is wanted.",
                reason="ACTIVE_CHANGED",
            )
        if serving != row.id:
            _activate(connection, row.id, version, is_rollback=False, forced=forced, reason=reason, gate=gate)
        return _revision(row)


def rollback(database: Database, *, reason: str | None = None, leaving: str = "") -> Revision:
    """Goes back to what served before the active revision; once more goes further back. Raises ConflictError.

    leaving: the version to go back from. Where another one serves, nothing happens: so a repeated call is harmless.
    """
    with database.begin() as connection:
        lock_catalog(connection)
        rows = connection.execute(
            select(activation.c.model_revision_id, activation.c.is_rollback).order_by(activation.c.id)
        )
        served: list[int] = []
        for number, is_rollback in rows:
            if is_rollback:
                served.pop()
            else:
                served.append(number)
        if leaving and served:
            serving = _revision(connection.execute(_revisions().where(model_revision.c.id == served[-1])).one())
            if str(serving.version) != leaving:
                return serving
        if len(served) < 2:
            raise ConflictError(
                "No revision served before the active one.",
                hint="Activate a revision by its name.",
                reason="NO_PREVIOUS_REVISION",
            )
        row = connection.execute(_revisions().where(model_revision.c.id == served[-2])).one()
        before = _revision(row)
        _activate(connection, row.id, before.version, is_rollback=True, forced=False, reason=reason)
        return before


def _activate(
    connection: Connection,
    number: int,
    version: Version,
    *,
    is_rollback: bool,
    forced: bool,
    reason: str | None,
    gate: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    checked = None if gate is None else [dict(check) for check in gate]
    values = {
        "activated_at": now_us(), "is_rollback": is_rollback, "forced": forced, "reason": reason, "gate": checked
    }  # fmt: skip
    connection.execute(insert(activation).values(model_revision_id=number, **values))
    append_change(connection, "activation", {"version": str(version)})


def _revisions() -> Select[Any]:
    return select(model_revision, model.c.vector_space, model.c.config).join(
        model, model.c.id == model_revision.c.model_id
    )


def row_of(connection: Connection, version: Version) -> Any:
    """Raises NotFoundError."""
    query = _revisions().where(model_revision.c.model_id == version.model, model_revision.c.number == version.revision)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFoundError(
            f"There is no model revision {version}.", hint="`penchant models list` shows them.", reason="UNKNOWN_MODEL"
        )
    return row


def _revision(row: Any) -> Revision:
    return Revision(
        Version(row.model_id, row.number), row.vector_space, row.path, row.as_of, row.known_at, row.snapshot_hash,
        row.metrics, row.config, row.created_at, row.comparison,
    )  # fmt: skip
