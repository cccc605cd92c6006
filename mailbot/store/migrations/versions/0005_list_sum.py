"""The sum of the list beside the ledger's head, and its digest in each event from now on.

The ledger gets its column by plain ALTER TABLE: batch mode would make it anew, and drop its
triggers.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mailbot.core.list_sum import ListSum

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_LIST = sa.text("SELECT person_hash, reason, untagged_hash, sequence FROM suppressions")


def upgrade() -> None:
    op.add_column("consent_events", sa.Column("list_digest", sa.String(length=64), nullable=True))
    op.add_column(
        "ledger_head",
        sa.Column("list_sum", sa.String(length=400), server_default="0:0", nullable=False),
    )
    with op.get_bind().execute(_LIST.execution_options(yield_per=1000)) as rows:
        listed = ListSum().changed(gone=(), come=(tuple(row) for row in rows))
    op.execute(sa.text("UPDATE ledger_head SET list_sum = :now").bindparams(now=listed.text))
