"""What recognition counts: passing bounces, failed authentication; what shadow mode would do."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "passing_bounces",
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("person_hash", sa.String(length=32), nullable=False),
        sa.Column("untagged_hash", sa.String(length=32), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_passing_bounces")),
    )
    op.create_index(
        op.f("ix_passing_bounces_person_hash"), "passing_bounces", ["person_hash"], unique=False
    )
    op.create_table(
        "failed_requests",
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_failed_requests")),
    )
    op.create_index(
        op.f("ix_failed_requests_received_at"), "failed_requests", ["received_at"], unique=False
    )
    op.create_table(
        "shadow_changes",
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("rule", sa.String(length=60), nullable=False),
        sa.Column("person_hash", sa.String(length=32), nullable=True),
        sa.Column("account", sa.String(length=100), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("uidvalidity", _KEY, nullable=False),
        sa.Column("uid", _KEY, nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_shadow_changes")),
    )
