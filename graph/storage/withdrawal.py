"""Taking back all that a user did, as a retraction of each event would; rows of the past stay. Not an erasure."""

from sqlalchemy import insert, literal, null, select, update

from graph.schema import RETRACT
from graph.storage.changes import append_change
from graph.storage.database import Database
from graph.storage.tables import event_kind, interaction, user
from graph.storage.times import now_us


def withdraw_user(database: Database, external: str, *, at_us: int | None = None) -> bool:
    """Clears the attributes of a user and retracts the events that still stand. False where there was nothing to do."""
    at_us = now_us() if at_us is None else at_us
    event, later = interaction.c, interaction.alias("later").c
    with database.begin() as connection:
        number = connection.execute(select(user.c.id).where(user.c.external_id == external)).scalar()
        if number is None:
            return False
        retract = connection.execute(select(event_kind.c.id).where(event_kind.c.name == RETRACT)).scalar_one()
        standing = select(
            literal("withdrawn:") + event.event_id,
            event.user_id,
            event.item_id,
            literal(retract),
            event.event_id,
            literal(at_us),
            literal(at_us),
        ).where(
            event.user_id == number,
            event.kind_id != retract,
            ~select(later.id).where(later.retracts == event.event_id).exists(),
        )
        columns = ["event_id", "user_id", "item_id", "kind_id", "retracts", "occurred_at", "recorded_at"]
        added = insert(interaction).from_select(columns, standing).returning(interaction.c.id)
        events = len(connection.execute(added).all())  # PostgreSQL's driver does not count what a SELECT inserted
        attributes = connection.execute(
            update(user).where(user.c.id == number, user.c.attributes.is_not(None)).values(attributes=null())
        ).rowcount
        if events:
            append_change(connection, "events", {"count": events, "users": [external], "items": None})
        if attributes:
            append_change(connection, "catalog", {"profiles": [external]})
        return bool(events or attributes)
