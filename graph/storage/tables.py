"""The tables. A change here needs an Alembic revision under migrations/versions (`alembic check` guards it).

External ids are strings the shop owns; inside, surrogate integers. Times are int64 microseconds UTC.
Rows of `interaction`, `item_version` and `category_version` are never overwritten: history is what we learn from.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite gives a rowid (and so an automatic number) only to a column declared INTEGER.
Id = BigInteger().with_variant(Integer, "sqlite")
Micros = BigInteger
Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
# Ordered by code point on both engines, whatever language the database was made in: lists are paged in this order.
ExternalId = Text().with_variant(Text(collation="C"), "postgresql")

user = Table(
    "user",
    metadata,
    Column("id", Id, primary_key=True),
    Column("external_id", ExternalId, nullable=False, unique=True),
    Column("attributes", Json, comment="what the shop knows of the user; no model input by default"),
    Column("recorded_at", Micros, nullable=False),
)

item = Table(
    "item",
    metadata,
    Column("id", Id, primary_key=True),
    Column("external_id", ExternalId, nullable=False, unique=True),
    Column("recorded_at", Micros, nullable=False),
)

item_version = Table(
    "item_version",
    metadata,
    Column("id", Id, primary_key=True),
    Column("item_id", Id, ForeignKey("item.id"), nullable=False),
    Column("valid_from", Micros, nullable=False),
    Column("recorded_at", Micros, nullable=False),
    Column("name", Text),
    Column("attributes", Json),
    Column("available", Boolean, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("is_current", Boolean, nullable=False, comment="what holds now, kept at hand for serving"),
    Index("ix_item_version_item_id_valid_from", "item_id", "valid_from"),
    Index(
        "uq_item_version_current",
        "item_id",
        unique=True,
        sqlite_where=text("is_current"),
        postgresql_where=text("is_current"),
    ),
)

category = Table(
    "category",
    metadata,
    Column("id", Id, primary_key=True),
    Column("external_id", ExternalId, nullable=False, unique=True),
    Column("recorded_at", Micros, nullable=False),
)

category_version = Table(
    "category_version",
    metadata,
    Column("id", Id, primary_key=True),
    Column("category_id", Id, ForeignKey("category.id"), nullable=False),
    Column("valid_from", Micros, nullable=False),
    Column("recorded_at", Micros, nullable=False),
    Column("name", Text),
    Column("parent_id", Id, ForeignKey("category.id"), comment="null for a root"),
    Column("deleted", Boolean, nullable=False),
    Column("is_current", Boolean, nullable=False),
    Index("ix_category_version_category_id_valid_from", "category_id", "valid_from"),
    Index(
        "uq_category_version_current",
        "category_id",
        unique=True,
        sqlite_where=text("is_current"),
        postgresql_where=text("is_current"),
    ),
)

item_category = Table(
    "item_category",
    metadata,
    Column("item_version_id", Id, ForeignKey("item_version.id"), primary_key=True),
    Column("category_id", Id, ForeignKey("category.id"), primary_key=True, index=True),
)

event_kind = Table(
    "event_kind",
    metadata,
    Column("id", SmallInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("weight", Float, nullable=False, comment="how much one event of the kind says, purchase = 1"),
    Column("sign", SmallInteger, nullable=False, comment="+1 interest, -1 dislike, 0 says nothing (retract)"),
    Column("half_life_days", Float, comment="null: does not fade"),
    Column("middle", Float, comment="the value that says nothing, below it the sign turns; null: values say nothing"),
    CheckConstraint("sign IN (-1, 0, 1)", name="sign"),
    CheckConstraint("weight >= 0", name="weight"),
    CheckConstraint("half_life_days > 0", name="half_life_days"),
)

interaction = Table(
    "interaction",
    metadata,
    Column("id", Id, primary_key=True),
    Column("event_id", ExternalId, nullable=False, unique=True),
    Column("user_id", Id, ForeignKey("user.id"), nullable=False),
    Column("item_id", Id, ForeignKey("item.id"), nullable=False),
    Column("kind_id", SmallInteger().with_variant(Integer, "sqlite"), ForeignKey("event_kind.id"), nullable=False),
    Column("value", Float, comment="rating, quantity or price; what it means is the kind's"),
    Column("session_key", Text, comment="basket or visit"),
    Column("sequence", BigInteger, comment="the source's order within one instant"),
    Column("context", Json),
    Column("retracts", ExternalId, comment="the event_id that this event of kind retract withdraws"),
    Column("occurred_at", Micros, nullable=False),
    Column("recorded_at", Micros, nullable=False),
    Index("ix_interaction_user_id_occurred_at", "user_id", "occurred_at"),
    Index("ix_interaction_occurred_at", "occurred_at"),
    Index(
        "ix_interaction_retracts",
        "retracts",
        sqlite_where=text("retracts IS NOT NULL"),
        postgresql_where=text("retracts IS NOT NULL"),
    ),
)

model = Table(
    "model",
    metadata,
    Column("id", Id, primary_key=True),
    Column("vector_space", Text, nullable=False),
    Column("config", Json, nullable=False),
    Column("created_at", Micros, nullable=False),
)

model_revision = Table(
    "model_revision",
    metadata,
    Column("id", Id, primary_key=True),
    Column("model_id", Id, ForeignKey("model.id"), nullable=False),
    Column("number", Integer, nullable=False, comment="m7.12 is revision number 12 of model 7"),
    Column("path", Text, nullable=False, comment="folder below the artifacts folder"),
    Column("as_of", Micros, nullable=False),
    Column("known_at", Micros, nullable=False),
    Column("snapshot_hash", Text, nullable=False),
    Column("metrics", Json, nullable=False),
    Column("created_at", Micros, nullable=False),
    Column("comparison", Json, comment="how it did beside what was active; null: it was compared with nothing"),
    UniqueConstraint("model_id", "number"),
)

activation = Table(
    "activation",
    metadata,
    Column("id", Id, primary_key=True),
    Column("model_revision_id", Id, ForeignKey("model_revision.id"), nullable=False),
    Column("activated_at", Micros, nullable=False),
    Column("is_rollback", Boolean, nullable=False),
    Column("forced", Boolean, nullable=False, comment="promoted although the gate said no"),
    Column("reason", Text),
    Column("gate", Json, comment="what was checked, with values and thresholds; null: nothing was, as in a rollback"),
)
"""What is active is the newest row; a rollback appends a row that names the revision before."""

label = Table(
    "label",
    metadata,
    Column("name", ExternalId, primary_key=True),
    Column("model_revision_id", Id, ForeignKey("model_revision.id"), nullable=False),
    Column("share", Float, nullable=False, comment="of the users, who are answered by it instead of by what is active"),
    Column("set_at", Micros, nullable=False),
    CheckConstraint("share >= 0 AND share <= 1", name="share"),
)
"""`stable` is no row: it is what is active."""

change = Table(
    "change",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", Text, nullable=False, comment="events, catalog, activation or erasure"),
    Column("detail", Json, nullable=False),
    Column("recorded_at", Micros, nullable=False),
    Column("transaction_id", BigInteger, nullable=False, comment="PostgreSQL's, so that a follower skips no late one"),
    Index("ix_change_transaction_id_id", "transaction_id", "id"),
)

schema_compatibility = Table(
    "schema_compatibility",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("oldest_server_schema", Text, nullable=False, comment="a server built for an older revision must not run"),
    CheckConstraint("id = 1", name="single_row"),
)
