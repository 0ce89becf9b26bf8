"""Kinds whose values say how much: a rating below its middle counts against the item."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MEANING = "the value that says nothing, below it the sign turns; null: values say nothing"


def upgrade() -> None:
    """Servers of the version before go on: they do not read the column."""
    op.add_column("event_kind", sa.Column("middle", sa.Float(), nullable=True, comment=MEANING))
    op.execute("UPDATE event_kind SET middle = 3.0 WHERE name = 'rating'")


def downgrade() -> None:
    op.drop_column("event_kind", "middle")
