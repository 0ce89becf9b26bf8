"""The first tables, and the event kinds that a new database starts with.

Deployment rule: migrate first, while servers of the version before still run. So a revision may add, and may not take
away or rename what the servers that `OLDEST_SERVER_SCHEMA` names still use; that waits for a later one.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

OLDEST_SERVER_SCHEMA = "0001"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SMALL_ID = sa.SmallInteger().with_variant(sa.Integer(), "sqlite")
EXTERNAL_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
MICROS = sa.BigInteger()
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

EVENT_KINDS = [
    {"name": "view", "weight": 0.2, "sign": 1, "half_life_days": 14.0},
    {"name": "cart", "weight": 0.5, "sign": 1, "half_life_days": 30.0},
    {"name": "purchase", "weight": 1.0, "sign": 1, "half_life_days": None},
    {"name": "rating", "weight": 1.0, "sign": 1, "half_life_days": None},
    {"name": "like", "weight": 1.0, "sign": 1, "half_life_days": None},
    {"name": "dislike", "weight": 1.0, "sign": -1, "half_life_days": None},
    {"name": "retract", "weight": 0.0, "sign": 0, "half_life_days": None},
]


def upgrade() -> None:
    compatibility = op.create_table(
        "schema_compatibility",
        _column("id", sa.Integer()),
        _column("oldest_server_schema", sa.Text(), comment="a server built for an older revision must not run"),
        _key("schema_compatibility"),
        sa.CheckConstraint("id = 1", name=op.f("ck_schema_compatibility_single_row")),
    )
    _create_externals()
    _create_catalog()
    _create_events()
    _create_models()
    op.create_table(
        "change",
        _column("id", ID),
        _column("kind", sa.Text(), comment="events, catalog, activation or erasure"),
        _column("detail", JSON),
        _column("recorded_at", MICROS),
        _column("transaction_id", MICROS, comment="PostgreSQL's, so that a follower skips no late one"),
        _key("change"),
    )
    op.create_index("ix_change_transaction_id_id", "change", ["transaction_id", "id"])
    op.bulk_insert(compatibility, [{"id": 1, "oldest_server_schema": OLDEST_SERVER_SCHEMA}])


def _create_externals() -> None:
    """What has an external id."""
    for name in ("user", "item", "category"):
        attributes = [
            _nullable("attributes", JSON, comment="what the shop knows of the user; no model input by default")
        ]
        op.create_table(
            name,
            _column("id", ID),
            _column("external_id", EXTERNAL_ID),
            *(attributes if name == "user" else []),
            _column("recorded_at", MICROS),
            _key(name),
            sa.UniqueConstraint("external_id", name=op.f(f"uq_{name}_external_id")),
        )


def _create_catalog() -> None:
    op.create_table(
        "item_version",
        _column("id", ID),
        _column("item_id", ID),
        _column("valid_from", MICROS),
        _column("recorded_at", MICROS),
        _nullable("name", sa.Text()),
        _nullable("attributes", JSON),
        _column("available", sa.Boolean()),
        _column("deleted", sa.Boolean()),
        _column("is_current", sa.Boolean(), comment="what holds now, kept at hand for serving"),
        _key("item_version"),
        _reference("item_version", "item_id", "item"),
    )
    op.create_table(
        "category_version",
        _column("id", ID),
        _column("category_id", ID),
        _column("valid_from", MICROS),
        _column("recorded_at", MICROS),
        _nullable("name", sa.Text()),
        _nullable("parent_id", ID, comment="null for a root"),
        _column("deleted", sa.Boolean()),
        _column("is_current", sa.Boolean()),
        _key("category_version"),
        _reference("category_version", "category_id", "category"),
        _reference("category_version", "parent_id", "category"),
    )
    for owner in ("item", "category"):
        table = f"{owner}_version"
        op.create_index(f"ix_{table}_{owner}_id_valid_from", table, [f"{owner}_id", "valid_from"])
        op.create_index(
            f"uq_{table}_current",
            table,
            [f"{owner}_id"],
            unique=True,
            sqlite_where=sa.text("is_current"),
            postgresql_where=sa.text("is_current"),
        )
    op.create_table(
        "item_category",
        _column("item_version_id", ID),
        _column("category_id", ID),
        sa.PrimaryKeyConstraint("item_version_id", "category_id", name=op.f("pk_item_category")),
        _reference("item_category", "item_version_id", "item_version"),
        _reference("item_category", "category_id", "category"),
    )
    op.create_index("ix_item_category_category_id", "item_category", ["category_id"])


def _create_events() -> None:
    event_kind = op.create_table(
        "event_kind",
        _column("id", SMALL_ID),
        _column("name", sa.Text()),
        _column("weight", sa.Float(), comment="how much one event of the kind says, purchase = 1"),
        _column("sign", sa.SmallInteger(), comment="+1 interest, -1 dislike, 0 says nothing (retract)"),
        _nullable("half_life_days", sa.Float(), comment="null: does not fade"),
        _key("event_kind"),
        sa.UniqueConstraint("name", name=op.f("uq_event_kind_name")),
        sa.CheckConstraint("sign IN (-1, 0, 1)", name=op.f("ck_event_kind_sign")),
        sa.CheckConstraint("weight >= 0", name=op.f("ck_event_kind_weight")),
        sa.CheckConstraint("half_life_days > 0", name=op.f("ck_event_kind_half_life_days")),
    )
    op.bulk_insert(event_kind, EVENT_KINDS)
    op.create_table(
        "interaction",
        _column("id", ID),
        _column("event_id", EXTERNAL_ID),
        _column("user_id", ID),
        _column("item_id", ID),
        _column("kind_id", SMALL_ID),
        _nullable("value", sa.Float(), comment="rating, quantity or price; what it means is the kind's"),
        _nullable("session_key", sa.Text(), comment="basket or visit"),
        _nullable("sequence", sa.BigInteger(), comment="the source's order within one instant"),
        _nullable("context", JSON),
        _nullable("retracts", EXTERNAL_ID, comment="the event_id that this event of kind retract withdraws"),
        _column("occurred_at", MICROS),
        _column("recorded_at", MICROS),
        _key("interaction"),
        sa.UniqueConstraint("event_id", name=op.f("uq_interaction_event_id")),
        _reference("interaction", "user_id", "user"),
        _reference("interaction", "item_id", "item"),
        _reference("interaction", "kind_id", "event_kind"),
    )
    op.create_index("ix_interaction_user_id_occurred_at", "interaction", ["user_id", "occurred_at"])
    op.create_index("ix_interaction_occurred_at", "interaction", ["occurred_at"])
    op.create_index(
        "ix_interaction_retracts",
        "interaction",
        ["retracts"],
        sqlite_where=sa.text("retracts IS NOT NULL"),
        postgresql_where=sa.text("retracts IS NOT NULL"),
    )


def _create_models() -> None:
    op.create_table(
        "model",
        _column("id", ID),
        _column("vector_space", sa.Text()),
        _column("config", JSON),
        _column("created_at", MICROS),
        _key("model"),
    )
    op.create_table(
        "model_revision",
        _column("id", ID),
        _column("model_id", ID),
        _column("number", sa.Integer(), comment="m7.12 is revision number 12 of model 7"),
        _column("path", sa.Text(), comment="folder below the artifacts folder"),
        _column("as_of", MICROS),
        _column("known_at", MICROS),
        _column("snapshot_hash", sa.Text()),
        _column("metrics", JSON),
        _column("created_at", MICROS),
        _key("model_revision"),
        _reference("model_revision", "model_id", "model"),
        sa.UniqueConstraint("model_id", "number", name=op.f("uq_model_revision_model_id_number")),
    )
    op.create_table(
        "activation",
        _column("id", ID),
        _column("model_revision_id", ID),
        _column("activated_at", MICROS),
        _column("is_rollback", sa.Boolean()),
        _column("forced", sa.Boolean(), comment="promoted although the gate said no"),
        _nullable("reason", sa.Text()),
        _key("activation"),
        _reference("activation", "model_revision_id", "model_revision"),
    )


def downgrade() -> None:
    for table in (
        "change",
        "activation",
        "model_revision",
        "model",
        "interaction",
        "event_kind",
        "item_category",
        "category_version",
        "item_version",
        "category",
        "item",
        "user",
        "schema_compatibility",
    ):
        op.drop_table(table)


def _column(name: str, kind: Any, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, **options)


def _nullable(name: str, kind: Any, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=True, **options)


def _key(table: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}"))


def _reference(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{target}.id"], name=op.f(f"fk_{table}_{column}"))
