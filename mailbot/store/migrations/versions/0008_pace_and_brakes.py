"""When a campaign is sent and what stops it: hours, pace, brakes, and who changed its state."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    for name, kind in (
        ("zone", sa.String(length=60)), ("quiet_hours", sa.String(length=11)),
        ("open_until", _TIME), ("attended_at", _TIME), ("per_hour", sa.Integer()),
        ("per_hour_and_domain", sa.Integer()), ("counted_from", _TIME),
        ("hold", sa.String(length=20)),
    ):  # fmt: skip
        op.add_column("campaigns", sa.Column(name, kind, nullable=True))
    for name in ("complaints", "undeliverable", "known_sent", "sent_before"):
        op.add_column(
            "campaigns", sa.Column(name, sa.Integer(), server_default="0", nullable=False)
        )
    op.create_table(
        "campaign_changes",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("campaign_id", _KEY, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("changed_by", sa.String(length=100), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("because", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaigns.id"], name=op.f("fk_campaign_changes_campaign_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaign_changes")),
    )
    op.create_index("ix_campaign_changes_campaign_id_id", "campaign_changes", ["campaign_id", "id"])
    op.create_table(
        "campaign_complaints",
        sa.Column("outbox_id", _KEY, nullable=False),
        sa.Column("campaign_id", _KEY, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["outbox_id"], ["outbox.id"], name=op.f("fk_campaign_complaints_outbox_id")
        ),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaigns.id"], name=op.f("fk_campaign_complaints_campaign_id")
        ),
        sa.PrimaryKeyConstraint("outbox_id", name=op.f("pk_campaign_complaints")),
    )
    paces = op.create_table(
        "paces",
        sa.Column("campaign_id", _KEY, autoincrement=False, nullable=False),
        sa.Column("domain", sa.String(length=255), nullable=False),
        sa.Column("next_at", _TIME, nullable=False),
        sa.Column("put_off_to", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("campaign_id", "domain", name=op.f("pk_paces")),
    )
    beginning = datetime(2000, 1, 1, tzinfo=UTC)
    op.bulk_insert(paces, [{"campaign_id": 0, "domain": "", "next_at": beginning}])
