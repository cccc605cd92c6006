"""The list and the ledger: events about many, addresses on the list, policies, imports.

The ledger gets columns by plain ALTER TABLE: batch mode would make it anew and drop its triggers.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_DUE_OFFER = sa.text("state IN ('queued', 'deferred') AND campaign_id IS NOT NULL")
_TAGGED = sa.text("untagged_hash <> person_hash")
_ERASED = sa.text("reason = 'erased'")


def upgrade() -> None:
    op.add_column("consent_events", sa.Column("batch_count", _KEY, nullable=True))
    op.add_column("consent_events", sa.Column("batch_digest", sa.String(length=64), nullable=True))
    _make_list_anew()
    op.create_table(
        "policy_versions",
        sa.Column("version", sa.String(length=40), nullable=False),
        sa.Column("in_force_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("text_digest", sa.String(length=64), nullable=True),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("sequence", _KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["sequence"], ["consent_events.sequence"], name=op.f("fk_policy_versions_sequence")
        ),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_policy_versions")),
        sa.UniqueConstraint("in_force_at", name=op.f("uq_policy_versions_in_force_at")),
    )
    op.create_table(
        "imports",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("format", sa.String(length=20), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_by", sa.String(length=100), nullable=False),
        sa.Column("lines", _KEY, server_default="0", nullable=False),
        sa.Column("persons", _KEY, server_default="0", nullable=False),
        sa.Column("added", _KEY, server_default="0", nullable=False),
        sa.Column("bad_lines", _KEY, server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imports")),
        sa.UniqueConstraint("key", name=op.f("uq_imports_key")),
    )
    # For an item that is there already the receipt was not kept; it was opened soon after.
    op.add_column("reviews", sa.Column("received_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE reviews SET received_at = opened_at")
    op.create_index(
        "ix_audience_members_mailbox",
        "audience_members",
        ["campaign_id", "untagged_hash", "person_hash"],
    )
    for table in ("consent_events", "outbox"):
        op.drop_index(f"ix_{table}_untagged_hash", table)
        _index_tagged(table)
    op.drop_index("ix_outbox_due_campaign", "outbox")
    op.create_index(
        "ix_outbox_due_campaign",
        "outbox",
        ["campaign_id", "not_before", "id"],
        sqlite_where=_DUE_OFFER,
        postgresql_where=_DUE_OFFER,
    )


def _index_tagged(table: str) -> None:
    """Few addresses bear a +tag: an index of these alone is small."""
    op.create_index(
        op.f(f"ix_{table}_untagged_hash"),
        table,
        ["untagged_hash"],
        sqlite_where=_TAGGED,
        postgresql_where=_TAGGED,
    )


def _make_list_anew() -> None:
    """An entry points to its event by number, and holds the readable address itself."""
    op.execute("""
        CREATE TEMPORARY TABLE old_suppressions AS
        SELECT s.person_hash, s.reason, s.untagged_hash, s.since_at, e.sequence, v.address
        FROM suppressions s
        JOIN consent_events e ON e.key = s.event_key
        LEFT JOIN consent_evidence v ON v.sequence = e.sequence
    """)
    op.drop_table("suppressions")
    op.create_table(
        "suppressions",
        sa.Column("person_hash", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(length=20), nullable=False),
        sa.Column("untagged_hash", sa.String(length=32), nullable=False),
        sa.Column("since_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sequence", _KEY, nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "reason IN ('opt_out', 'held', 'complaint', 'undeliverable', 'imported', 'erased')",
            name=op.f("ck_suppressions_reason_is_known"),
        ),
        sa.ForeignKeyConstraint(
            ["sequence"], ["consent_events.sequence"], name=op.f("fk_suppressions_sequence")
        ),
        sa.PrimaryKeyConstraint("person_hash", "reason", name=op.f("pk_suppressions")),
    )
    _index_tagged("suppressions")
    op.create_index(op.f("ix_suppressions_sequence"), "suppressions", ["sequence"])
    op.create_index(
        op.f("ix_suppressions_erased"),
        "suppressions",
        ["person_hash"],
        sqlite_where=_ERASED,
        postgresql_where=_ERASED,
    )
    op.execute("""
        INSERT INTO suppressions
            (person_hash, reason, untagged_hash, since_at, sequence, address)
        SELECT person_hash, reason, untagged_hash, since_at, sequence, address
        FROM old_suppressions
    """)
    op.execute("DROP TABLE old_suppressions")
