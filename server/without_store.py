"""What is answered of a user while the store is away: what was kept of them, however old, else what is popular.

A shop whose page shows something wants an answer more than an error; the answer says that the history is stale.
"""

from dataclasses import replace

from server.engine import Engine
from server.known_users import Known, KnownUsers


def without_store(kept: KnownUsers, engine: Engine, user: str) -> Known:
    """Of a user of whom nothing is kept as of one without events."""
    known = kept.find(engine, user, or_stale=True)
    if known is None:
        return engine.unread(user), engine.revision.fast.nobody
    past, answer = known
    return replace(past, is_stale=True), answer
