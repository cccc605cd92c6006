"""The first schema: ledger, list, watermarks, reviews, campaigns, outbox, switches."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# The ledger is appended to, never changed (invariant 6). Evidence may be erased, never edited.
_SQLITE_GUARDS = (
    """CREATE TRIGGER consent_events_no_update BEFORE UPDATE ON consent_events
       BEGIN SELECT RAISE(ABORT, 'consent events are never changed'); END""",
    """CREATE TRIGGER consent_events_no_delete BEFORE DELETE ON consent_events
       BEGIN SELECT RAISE(ABORT, 'consent events are never deleted'); END""",
    # INSERT OR REPLACE deletes without asking the trigger above.
    """CREATE TRIGGER consent_events_no_replace BEFORE INSERT ON consent_events
       WHEN EXISTS (SELECT 1 FROM consent_events
                    WHERE sequence = NEW.sequence OR key = NEW.key)
       BEGIN SELECT RAISE(ABORT, 'consent events are never replaced'); END""",
    """CREATE TRIGGER consent_evidence_no_update BEFORE UPDATE ON consent_evidence
       BEGIN SELECT RAISE(ABORT, 'evidence is never changed'); END""",
)
_POSTGRESQL_GUARDS = (
    """CREATE FUNCTION mailbot_refuse() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN RAISE EXCEPTION '% is never changed or deleted', TG_TABLE_NAME; END $$""",
    """CREATE TRIGGER consent_events_no_update BEFORE UPDATE ON consent_events
       FOR EACH STATEMENT EXECUTE FUNCTION mailbot_refuse()""",
    """CREATE TRIGGER consent_events_no_delete BEFORE DELETE ON consent_events
       FOR EACH STATEMENT EXECUTE FUNCTION mailbot_refuse()""",
    """CREATE TRIGGER consent_events_no_truncate BEFORE TRUNCATE ON consent_events
       FOR EACH STATEMENT EXECUTE FUNCTION mailbot_refuse()""",
    """CREATE TRIGGER consent_evidence_no_update BEFORE UPDATE ON consent_evidence
       FOR EACH STATEMENT EXECUTE FUNCTION mailbot_refuse()""",
)


def upgrade() -> None:
    op.create_table(
        "campaigns",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("text_source", sa.Text(), nullable=False),
        sa.Column("html_source", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("send_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expanded_through", sa.Integer(), server_default="0", nullable=False),
        sa.Column("because", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('loading', 'draft', 'scheduled', 'sending', 'paused', 'done', 'cancelled')",
            name=op.f("ck_campaigns_state_is_known"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaigns")),
        sa.UniqueConstraint("name", name=op.f("uq_campaigns_name")),
    )
    op.create_table(
        "consent_events",
        sa.Column("sequence", _KEY, autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("source", sa.String(length=20), nullable=False),
        sa.Column("person_hash", sa.String(length=32), nullable=False),
        sa.Column("untagged_hash", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rule", sa.String(length=60), nullable=False),
        sa.Column("policy_version", sa.String(length=40), nullable=False),
        sa.Column("evidence_digest", sa.String(length=64), nullable=False),
        sa.Column("previous_hash", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_consent_events")),
        sa.UniqueConstraint("key", name=op.f("uq_consent_events_key")),
    )
    op.create_index(
        op.f("ix_consent_events_person_hash"), "consent_events", ["person_hash"], unique=False
    )
    op.create_index(
        op.f("ix_consent_events_untagged_hash"), "consent_events", ["untagged_hash"], unique=False
    )
    op.create_table(
        "ledger_head",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sequence", _KEY, nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_ledger_head_is_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_head")),
    )
    op.create_table(
        "mailbox_leases",
        sa.Column("account", sa.String(length=100), nullable=False),
        sa.Column("claimed_by", sa.String(length=120), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("heard_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("blind_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("blind_because", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_mailbox_leases")),
    )
    op.create_table(
        "person_key",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key_id", sa.String(length=16), nullable=False),
        sa.Column("check_value", sa.String(length=64), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_person_key_is_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person_key")),
    )
    op.create_table(
        "reviews",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("person_hash", sa.String(length=32), nullable=True),
        sa.Column("untagged_hash", sa.String(length=32), nullable=True),
        sa.Column("account", sa.String(length=100), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("uidvalidity", _KEY, nullable=False),
        sa.Column("uid", _KEY, nullable=False),
        sa.Column("rule", sa.String(length=60), nullable=False),
        sa.Column("because", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.String(length=100), nullable=True),
        sa.CheckConstraint(
            "state IN ('open', 'accepted', 'dismissed', 'expired')",
            name=op.f("ck_reviews_state_is_known"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reviews")),
        sa.UniqueConstraint("key", name=op.f("uq_reviews_key")),
    )
    op.create_index(op.f("ix_reviews_state_due_at"), "reviews", ["state", "due_at"], unique=False)
    op.create_table(
        "suppressions",
        sa.Column("person_hash", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(length=20), nullable=False),
        sa.Column("untagged_hash", sa.String(length=32), nullable=False),
        sa.Column("since_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("event_key", sa.String(length=200), nullable=False),
        sa.CheckConstraint(
            "reason IN ('opt_out', 'held', 'complaint', 'undeliverable', 'imported', 'erased')",
            name=op.f("ck_suppressions_reason_is_known"),
        ),
        sa.PrimaryKeyConstraint("person_hash", "reason", name=op.f("pk_suppressions")),
    )
    op.create_index(
        op.f("ix_suppressions_untagged_hash"), "suppressions", ["untagged_hash"], unique=False
    )
    op.create_table(
        "switches",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("is_on", sa.Boolean(), nullable=False),
        sa.Column("because", sa.Text(), nullable=True),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_switches")),
    )
    op.create_table(
        "watermarks",
        sa.Column("account", sa.String(length=100), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("uidvalidity", _KEY, nullable=False),
        sa.Column("last_uid", _KEY, nullable=False),
        sa.Column("first_scan_done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("moved_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account", "folder", "uidvalidity", name=op.f("pk_watermarks")),
    )
    op.create_table(
        "audience_members",
        sa.Column("campaign_id", _KEY, nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("person_hash", sa.String(length=32), nullable=False),
        sa.Column("untagged_hash", sa.String(length=32), nullable=False),
        sa.Column("fields", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaigns.id"], name=op.f("fk_audience_members_campaign_id")
        ),
        sa.PrimaryKeyConstraint("campaign_id", "line", name=op.f("pk_audience_members")),
        sa.UniqueConstraint(
            "campaign_id", "person_hash", name=op.f("uq_audience_members_campaign_id_person_hash")
        ),
    )
    op.create_table(
        "consent_evidence",
        sa.Column("sequence", _KEY, nullable=False),
        sa.Column("salt", sa.LargeBinary(length=16), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["sequence"], ["consent_events.sequence"], name=op.f("fk_consent_evidence_sequence")
        ),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_consent_evidence")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("campaign_id", _KEY, nullable=True),
        sa.Column("type", sa.String(length=60), nullable=True),
        sa.Column("idempotency_key", sa.String(length=200), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("person_hash", sa.String(length=32), nullable=False),
        sa.Column("untagged_hash", sa.String(length=32), nullable=False),
        sa.Column("fields", sa.JSON(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("message_id", sa.String(length=120), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("resends", sa.Integer(), server_default="0", nullable=False),
        sa.Column("attempt_id", _KEY, nullable=True),
        sa.Column("claimed_by", sa.String(length=120), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("list_sequence", _KEY, nullable=True),
        sa.Column("withheld_reason", sa.String(length=20), nullable=True),
        sa.Column("last_reply", sa.Text(), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(kind = 'campaign') = (campaign_id IS NOT NULL)",
            name=op.f("ck_outbox_campaign_has_one"),
        ),
        sa.CheckConstraint(
            "kind <> 'order_status' OR (type IS NOT NULL AND idempotency_key IS NOT NULL)",
            name=op.f("ck_outbox_order_status_is_keyed"),
        ),
        sa.CheckConstraint(
            "kind IN ('campaign', 'order_status', 'acknowledgement')",
            name=op.f("ck_outbox_kind_is_known"),
        ),
        sa.CheckConstraint(
            "state IN ('queued', 'claimed', 'sending', 'sent', 'deferred', 'bounced', "
            "'rejected', 'expired', 'withheld', 'uncertain', 'cancelled')",
            name=op.f("ck_outbox_state_is_known"),
        ),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaigns.id"], name=op.f("fk_outbox_campaign_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint(
            "campaign_id", "person_hash", name=op.f("uq_outbox_campaign_id_person_hash")
        ),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_outbox_idempotency_key")),
        sa.UniqueConstraint("message_id", name=op.f("uq_outbox_message_id")),
    )
    op.create_index(
        "ix_outbox_due",
        "outbox",
        ["priority", "not_before", "id"],
        unique=False,
        sqlite_where=sa.text("state IN ('queued', 'deferred') AND kind <> 'campaign'"),
        postgresql_where=sa.text("state IN ('queued', 'deferred') AND kind <> 'campaign'"),
    )
    op.create_index(
        "ix_outbox_due_campaign",
        "outbox",
        ["campaign_id", "not_before", "id"],
        unique=False,
        sqlite_where=sa.text("state IN ('queued', 'deferred')"),
        postgresql_where=sa.text("state IN ('queued', 'deferred')"),
    )
    op.create_index(
        "ix_outbox_leased",
        "outbox",
        ["lease_until"],
        unique=False,
        sqlite_where=sa.text("state IN ('claimed', 'sending')"),
        postgresql_where=sa.text("state IN ('claimed', 'sending')"),
    )
    op.create_index(op.f("ix_outbox_person_hash"), "outbox", ["person_hash"], unique=False)
    op.create_index("ix_outbox_state", "outbox", ["campaign_id", "state"], unique=False)
    op.create_index(op.f("ix_outbox_untagged_hash"), "outbox", ["untagged_hash"], unique=False)
    op.create_table(
        "delivery_attempts",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("outbox_id", _KEY, nullable=False),
        sa.Column("daemon", sa.String(length=120), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("list_sequence", _KEY, nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.String(length=20), nullable=True),
        sa.Column("reply", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["outbox_id"], ["outbox.id"], name=op.f("fk_delivery_attempts_outbox_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery_attempts")),
    )
    op.create_index(
        op.f("ix_delivery_attempts_outbox_id"), "delivery_attempts", ["outbox_id"], unique=False
    )

    op.execute(
        sa.text("INSERT INTO ledger_head (id, sequence, hash) VALUES (1, 0, :genesis)").bindparams(
            genesis="0" * 64
        )
    )
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    for guard in _POSTGRESQL_GUARDS if is_postgresql else _SQLITE_GUARDS:
        op.execute(guard)
