"""Everything that a user ever had an event with: one statement over the user's part of an index, however long."""

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from graph.schema import RETRACT
from graph.storage.database import Database
from graph.storage.tables import event_kind, interaction, user


def seen_items(database: Database, external: str, *, before_us: int) -> NDArray[np.int64]:
    """Surrogate ids of the items of a user's events before that time that were not retracted by then, ascending.

    Of any kind: who disliked an item has seen it.
    """
    event, later = interaction.c, interaction.alias("later").c
    retract = select(event_kind.c.id).where(event_kind.c.name == RETRACT).scalar_subquery()
    withdrawn = select(later.id).where(
        later.retracts == event.event_id, later.kind_id == retract, later.occurred_at < before_us
    )
    query = (
        select(event.item_id)
        .distinct()
        .join(user, user.c.id == event.user_id)
        .where(user.c.external_id == external, event.occurred_at < before_us, event.kind_id != retract)
        .where(~withdrawn.exists())
        .order_by(event.item_id)
    )
    with database.connect() as connection:
        return np.array(connection.execute(query).scalars().all(), np.int64)
