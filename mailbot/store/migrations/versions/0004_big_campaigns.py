"""Big campaigns: how far the expansion is, by person hash; counting what is new in the outbox."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("audience_count", "expanded_count"):
        op.add_column(
            "campaigns", sa.Column(name, sa.Integer(), server_default="0", nullable=False)
        )
    op.add_column("campaigns", sa.Column("expanded_to", sa.String(length=32), nullable=True))
    op.add_column("campaigns", sa.Column("expanded_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("""
        UPDATE campaigns SET
            audience_count =
                (SELECT count(*) FROM audience_members m WHERE m.campaign_id = campaigns.id),
            expanded_count = (SELECT count(*) FROM outbox o WHERE o.campaign_id = campaigns.id)
    """)
    # One that was half way begins anew, in another order: who is in the outbox is left alone.
    op.execute("""
        UPDATE campaigns SET expanded_at = coalesce(send_at, created_at)
        WHERE expanded_through > 0 AND expanded_through >=
            (SELECT coalesce(max(m.line), 0) FROM audience_members m
             WHERE m.campaign_id = campaigns.id)
    """)
    op.drop_column("campaigns", "expanded_through")
    op.drop_index("ix_outbox_state", "outbox")
    op.create_index("ix_outbox_state", "outbox", ["campaign_id", "state", "id"])
