"""Kinds whose values say how much: a rating below its middle counts against the item."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MEANING = "the value that says nothing, below it the sign turns; null: values say nothing"


FIVE_STARS = """
UPDATE event_kind SET middle = 3.0 WHERE name = 'rating'
AND NOT EXISTS (SELECT 1 FROM interaction WHERE kind_id = event_kind.id AND (value < 0.5 OR value > 5))
AND (
    NOT EXISTS (SELECT 1 FROM interaction WHERE kind_id = event_kind.id AND value IS NOT NULL)
    OR EXISTS (SELECT 1 FROM interaction WHERE kind_id = event_kind.id AND value > 3)
)
"""
"""Of five stars, also in halves, the third says nothing.
Ratings on another scale stay as they were until somebody names its middle."""


def upgrade() -> None:
    """Servers of the version before go on: they do not read the column."""
    op.add_column("event_kind", sa.Column("middle", sa.Float(), nullable=True, comment=MEANING))
    op.execute(FIVE_STARS)


def downgrade() -> None:
    op.drop_column("event_kind", "middle")
