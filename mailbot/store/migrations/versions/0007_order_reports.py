"""Order status: a digest of what was handed over, and the order in which the shop is told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mailbot.store.columns import BigKey

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_UNTOLD = sa.text(
    "kind = 'order_status' AND (told_state IS NULL OR told_state <> state) AND state IN"
    " ('sent', 'bounced', 'rejected', 'expired', 'withheld', 'uncertain', 'cancelled')"
)


def upgrade() -> None:
    op.add_column("outbox", sa.Column("content_digest", sa.String(length=64), nullable=True))
    op.add_column("outbox", sa.Column("told_state", sa.String(length=12), nullable=True))
    op.add_column("outbox", sa.Column("told_sequence", BigKey, nullable=True))
    op.create_index("ix_outbox_told_sequence", "outbox", ["told_sequence"], unique=True)
    op.create_index(
        "ix_outbox_untold", "outbox", ["finished_at", "id"],
        sqlite_where=_UNTOLD, postgresql_where=_UNTOLD,
    )  # fmt: skip
    head = op.create_table(
        "told_head",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sequence", BigKey, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_told_head")),
    )
    op.bulk_insert(head, [{"id": 1, "sequence": 0}])
