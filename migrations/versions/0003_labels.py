"""Labels of revisions, and what the gate of promotion saw and said."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

COMPARISON = "how it did beside what was active; null: it was compared with nothing"
GATE = "what was checked, with values and thresholds; null: nothing was, as in a rollback"
SHARE = "of the users, who are answered by it instead of by what is active"


def upgrade() -> None:
    """Servers of the version before go on: to them all users are those of the active revision."""
    op.add_column("model_revision", sa.Column("comparison", JSON, nullable=True, comment=COMPARISON))
    op.add_column("activation", sa.Column("gate", JSON, nullable=True, comment=GATE))
    op.create_table(
        "label",
        sa.Column("name", NAME, nullable=False),
        sa.Column("model_revision_id", ID, nullable=False),
        sa.Column("share", sa.Float(), nullable=False, comment=SHARE),
        sa.Column("set_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("share >= 0 AND share <= 1", name=op.f("ck_label_share")),
        sa.ForeignKeyConstraint(["model_revision_id"], ["model_revision.id"], name=op.f("fk_label_model_revision_id")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_label")),
    )


def downgrade() -> None:
    """Users of a label go back to the active revision; which one that is, and what is published, stays."""
    op.drop_table("label")
    op.drop_column("activation", "gate")
    op.drop_column("model_revision", "comparison")
