"""Labels of revisions, such as `canary`: which there are, and which users each of them takes.

    the first 6 bytes of SHA-256("canary/ann"), big-endian, over 2^48  <  share    ann is answered by canary

The same user is on the same side on every server and after every restart, whichever revision the label names. A larger
share takes users over and gives none back. Of several labels the first by name takes a user; who is taken by none is
answered by what is active, which `stable` stands for.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select, update

from graph.storage.changes import append_change
from graph.storage.database import Database
from graph.storage.errors import BadInputError
from graph.storage.registry import Version, row_of
from graph.storage.tables import label, model_revision
from graph.storage.times import now_us
from graph.storage.versions import lock_catalog

STABLE = "stable"


@dataclass(frozen=True)
class Label:
    name: str
    version: Version
    share: float  # of the users, 0 to 1; 0: the label is a name and no more
    set_at: int  # us

    def takes(self, user: str) -> bool:
        """Whether a user, by external id, is answered by it."""
        return position(self.name, user) < self.share


def position(name: str, user: str) -> float:
    """Where a user stands in [0, 1) as a label looks at users; evenly spread."""
    digest = hashlib.sha256(f"{name}/{user}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def labels(database: Database) -> list[Label]:
    """All that are set, by name."""
    columns = label.c.name, model_revision.c.model_id, model_revision.c.number, label.c.share, label.c.set_at
    query = select(*columns).join(model_revision, model_revision.c.id == label.c.model_revision_id)
    with database.connect() as connection:
        rows = connection.execute(query.order_by(label.c.name)).all()
    return [Label(name, Version(model, number), share, set_at) for name, model, number, share, set_at in rows]


def set_label(database: Database, name: str, version: Version, *, share: float = 0.0) -> Label:
    """Names a revision, in place of what the label named before. Raises BadInputError and NotFoundError.

    The change feed tells it like an activation: what answers may be another one.
    """
    _check_name(name)
    if not 0 <= share <= 1:  # NaN neither
        raise BadInputError(
            f"The share of a label lies between 0 and 1, not at {share:g}.",
            hint="0.05 gives it one user of twenty.",
            field="share",
            reason="INVALID_SHARE",
        )
    found = Label(name, version, share, now_us())
    with database.begin() as connection:
        lock_catalog(connection)
        values = {"model_revision_id": row_of(connection, version).id, "share": share, "set_at": found.set_at}
        if not connection.execute(update(label).where(label.c.name == name).values(**values)).rowcount:
            connection.execute(insert(label).values(name=name, **values))
        append_change(connection, "activation", {"label": name, "version": str(version), "share": share})
    return found


def remove_label(database: Database, name: str) -> bool:
    """Whether it was there; its users are answered by what is active again. Raises BadInputError."""
    _check_name(name)
    with database.begin() as connection:
        removed: Any = connection.execute(delete(label).where(label.c.name == name)).rowcount
        if removed:
            append_change(connection, "activation", {"label": name})
    return bool(removed)


def _check_name(name: str) -> None:
    if name == STABLE:
        raise BadInputError(
            f"{STABLE} is what is active.",
            hint="Activate a revision to move it.",
            field="label",
            reason="LABEL_RESERVED",
        )
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", name):
        raise BadInputError(
            f"{name!r} is no label.",
            hint="Up to 32 small letters, digits, - and _, a letter first, such as canary.",
            field="label",
            reason="INVALID_LABEL",
        )
