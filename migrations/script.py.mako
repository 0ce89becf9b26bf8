"""${message}.

Deployment rule: migrate first, while servers of the version before still run. So a revision may add, and may not take
away or rename what the servers that `OLDEST_SERVER_SCHEMA` names still use; that waits for a later one.
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}

OLDEST_SERVER_SCHEMA = ${repr(up_revision)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
    op.execute(f"UPDATE schema_compatibility SET oldest_server_schema = '{OLDEST_SERVER_SCHEMA}'")


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
    op.execute(f"UPDATE schema_compatibility SET oldest_server_schema = '${down_revision}'")
