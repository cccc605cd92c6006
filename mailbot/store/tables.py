"""Every table, its columns and constraints. Addresses stand only where erasure can reach them.

A person is named by two keyed hashes everywhere: `person_hash` of the exact match key, and
`untagged_hash` of the form without +tag (see core.person).
"""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)

from mailbot.core.consent import Reason
from mailbot.core.eligibility import MessageKind
from mailbot.core.outbox_states import State
from mailbot.store.columns import BigKey, UtcDateTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Hash = String(32)  # a keyed hash, 16 bytes in hex
# Few addresses bear a +tag: an index of these alone is small (see store.persons.is_named, which
# repeats these words: in another order SQLite would not see that the index is meant).
IS_TAGGED = text("untagged_hash <> person_hash")
IS_ERASED = text("reason = 'erased'")  # each import looks for these


class CampaignState(StrEnum):
    """Where a campaign stands."""

    LOADING = "loading"  # its audience is being read; cannot be scheduled yet
    DRAFT = "draft"
    SCHEDULED = "scheduled"  # waits for its time
    SENDING = "sending"
    PAUSED = "paused"
    DONE = "done"  # no row waits any more
    CANCELLED = "cancelled"


class ReviewState(StrEnum):
    """Where a review item stands."""

    OPEN = "open"
    ACCEPTED = "accepted"  # it was a request
    DISMISSED = "dismissed"  # it was none
    EXPIRED = "expired"  # nobody decided in time: taken for a request


def _one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_is_known")


# --- consent: the ledger and the list -----------------------------------------------------------

consent_events = Table(
    "consent_events",
    metadata,
    # No gaps: the number is the head's, taken under its lock.
    Column("sequence", BigKey, primary_key=True, autoincrement=False),
    Column("kind", String(20), nullable=False),
    Column("source", String(20), nullable=False),
    Column("person_hash", Hash, nullable=False),
    Column("untagged_hash", Hash, nullable=False),
    Column("key", String(200), nullable=False, unique=True),  # makes replay harmless
    Column("received_at", UtcDateTime, nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
    Column("rule", String(60), nullable=False),
    Column("policy_version", String(40), nullable=False),
    Column("evidence_digest", String(64), nullable=False),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    # An event about many (an import, an export) has both, and the empty string for its hashes.
    Column("batch_count", BigKey),
    Column("batch_digest", String(64)),
    # Of the whole list as this event left it; NULL before it was summed (see core.list_sum), and
    # "changed" from the event on that found the sum beside the head changed.
    Column("list_digest", String(64)),
    # No CHECK on kind and source: SQLite could extend it only by making the table anew, and the
    # ledger is never made anew.
    Index(None, "person_hash"),
    Index(None, "untagged_hash", sqlite_where=IS_TAGGED, postgresql_where=IS_TAGGED),
)

# Readable, and erasable without breaking the chain.
consent_evidence = Table(
    "consent_evidence",
    metadata,
    Column("sequence", BigKey, ForeignKey("consent_events.sequence"), primary_key=True),
    Column("salt", LargeBinary(16), nullable=False),
    Column("address", Text),
    Column("evidence", JSON, nullable=False),
)

ledger_head = Table(
    "ledger_head",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sequence", BigKey, nullable=False),
    Column("hash", String(64), nullable=False),
    # The text of a core.list_sum.ListSum: of the list as the last event left it.
    Column("list_sum", String(400), nullable=False, server_default="0:0"),
    CheckConstraint("id = 1", name="is_single"),
)

suppressions = Table(
    "suppressions",
    metadata,
    Column("person_hash", Hash, primary_key=True),
    Column("reason", String(20), primary_key=True),
    Column("untagged_hash", Hash, nullable=False),
    Column("since_at", UtcDateTime, nullable=False),  # received_at of the event
    # The event that put it there, or renewed it.
    Column("sequence", BigKey, ForeignKey("consent_events.sequence"), nullable=False),
    Column("address", Text),  # NULL once erased, and where only a token named the person
    _one_of("reason", Reason),
    Index(None, "untagged_hash", sqlite_where=IS_TAGGED, postgresql_where=IS_TAGGED),
    Index(None, "sequence"),
    Index("ix_suppressions_erased", "person_hash",
          sqlite_where=IS_ERASED, postgresql_where=IS_ERASED),
)  # fmt: skip

# The person key that filled this database, by its id and a check value; never the key.
person_key = Table(
    "person_key",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key_id", String(16), nullable=False),
    Column("check_value", String(64), nullable=False),
    CheckConstraint("id = 1", name="is_single"),
)

# The versions of the privacy policy, each recorded by an event of the ledger as well.
policy_versions = Table(
    "policy_versions",
    metadata,
    Column("version", String(40), primary_key=True),
    Column("in_force_at", UtcDateTime, nullable=False, unique=True),
    Column("text_digest", String(64)),
    Column("url", Text),
    Column("sequence", BigKey, ForeignKey("consent_events.sequence"), nullable=False),
)

# One row a file; how far it came is known by the keys of its events.
imports = Table(
    "imports",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("key", String(64), nullable=False, unique=True),  # of the file and how it was read
    Column("file_name", Text, nullable=False),
    Column("format", String(20), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("started_by", String(100), nullable=False),
    Column("lines", BigKey, nullable=False, server_default="0"),
    Column("persons", BigKey, nullable=False, server_default="0"),
    Column("added", BigKey, nullable=False, server_default="0"),  # entries that were not there
    Column("bad_lines", BigKey, nullable=False, server_default="0"),
)

# --- inbound ------------------------------------------------------------------------------------

watermarks = Table(
    "watermarks",
    metadata,
    Column("account", String(100), primary_key=True),
    Column("folder", Text, primary_key=True),
    Column("uidvalidity", BigKey, primary_key=True),
    Column("last_uid", BigKey, nullable=False),
    Column("first_scan_done_at", UtcDateTime),  # history before it is heard, not acknowledged
    Column("moved_at", UtcDateTime, nullable=False),
)

mailbox_leases = Table(
    "mailbox_leases",
    metadata,
    Column("account", String(100), primary_key=True),
    Column("claimed_by", String(120)),
    Column("lease_until", UtcDateTime),
    Column("heard_at", UtcDateTime),  # the last complete look at every folder
    Column("blind_since", UtcDateTime),  # set while the mailbox cannot be read
    Column("blind_because", Text),
)

reviews = Table(
    "reviews",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("key", String(200), nullable=False, unique=True),
    Column("person_hash", Hash),  # NULL where nobody can be held: quarantined mail
    Column("untagged_hash", Hash),
    Column("account", String(100), nullable=False),
    Column("folder", Text, nullable=False),
    Column("uidvalidity", BigKey, nullable=False),
    Column("uid", BigKey, nullable=False),
    Column("rule", String(60), nullable=False),
    Column("because", Text, nullable=False),
    Column("state", String(12), nullable=False),
    # The legal clock runs from receipt; the time to decide from first sight.
    Column("received_at", UtcDateTime),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("decided_at", UtcDateTime),
    Column("decided_by", String(100)),
    _one_of("state", ReviewState),
    Index(None, "state", "due_at"),
)

# One row for each day's failed delivery that may pass; enough of them, and the person is taken off.
passing_bounces = Table(
    "passing_bounces",
    metadata,
    Column("key", String(200), primary_key=True),  # makes replay harmless
    Column("person_hash", Hash, nullable=False),
    Column("untagged_hash", Hash, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Index(None, "person_hash"),
)

# Requests whose sender failed authentication: a burst of them brakes. No address stands here.
failed_requests = Table(
    "failed_requests",
    metadata,
    Column("key", String(200), primary_key=True),
    Column("received_at", UtcDateTime, nullable=False),
    Index(None, "received_at"),
)

# What would have happened while mailbot only watched (mode = "shadow").
shadow_changes = Table(
    "shadow_changes",
    metadata,
    Column("key", String(200), primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("rule", String(60), nullable=False),
    Column("person_hash", Hash),
    Column("account", String(100), nullable=False),
    Column("folder", Text, nullable=False),
    Column("uidvalidity", BigKey, nullable=False),
    Column("uid", BigKey, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
)

# --- outbound -----------------------------------------------------------------------------------

campaigns = Table(
    "campaigns",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("state", String(12), nullable=False),
    Column("subject", Text, nullable=False),
    Column("text_source", Text, nullable=False),
    Column("html_source", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("send_at", UtcDateTime),
    Column("audience_count", Integer, nullable=False, server_default="0"),  # its members
    Column("expanded_count", Integer, nullable=False, server_default="0"),  # its rows in the outbox
    # Its audience goes into the outbox in the order of person_hash: how far it is.
    Column("expanded_to", Hash),
    Column("expanded_at", UtcDateTime),  # since when all of it is there
    Column("because", Text),  # why it is paused or cancelled
    # Where its people came from, if by query: the settings' name for the database, SQL, SHA-256.
    Column("audience_source", Text),
    Column("audience_query", Text),
    Column("audience_query_hash", String(64)),
    # When it may go out: the hours as "21:00-08:00" or "none", by clocks in `zone`. Each look
    # before sending asks whether `open_until` is over: the ticks move it, NULL is for ever.
    Column("zone", String(60)),
    Column("quiet_hours", String(11)),
    Column("open_until", UtcDateTime),
    Column("attended_at", UtcDateTime),  # when a tick last found it sending: else it may be late
    Column("per_hour", Integer),  # its own pace, beside the one of the settings
    Column("per_hour_and_domain", Integer),
    # Against it since `counted_from`: NULL is from its beginning. `known_sent` is what was counted
    # when it last had to be: never more than were sent since then.
    Column("complaints", Integer, nullable=False, server_default="0"),
    Column("undeliverable", Integer, nullable=False, server_default="0"),
    Column("known_sent", Integer, nullable=False, server_default="0"),
    Column("sent_before", Integer, nullable=False, server_default="0"),
    Column("counted_from", UtcDateTime),
    Column("hold", String(20)),  # paused by mailbot itself, until a person answers
    _one_of("state", CampaignState),
)

# Who changed the state of a campaign, and when: never changed or deleted.
campaign_changes = Table(
    "campaign_changes",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("campaign_id", BigKey, ForeignKey("campaigns.id"), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("changed_by", String(100), nullable=False),
    Column("state", String(12), nullable=False),  # from then on
    Column("because", Text),
    Index(None, "campaign_id", "id"),
)

# Test mails to the team: that there were some, and never to whom.
campaign_tests = Table(
    "campaign_tests",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("campaign_id", BigKey, ForeignKey("campaigns.id"), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("sent_by", String(100), nullable=False),
    Column("line", Integer, nullable=False),  # of the audience: whose fields were used
    Column("recipients", Integer, nullable=False),
    Column("sent", Integer, nullable=False, server_default="0"),  # that the relay took
    Index(None, "campaign_id", "id"),
)

# How far each pace is. Campaign 0 stands for all of them, domain "" for every domain; that very row
# is always there, and whoever counts locks it first.
paces = Table(
    "paces",
    metadata,
    Column("campaign_id", BigKey, primary_key=True, autoincrement=False),
    Column("domain", String(255), primary_key=True),
    Column("next_at", UtcDateTime, nullable=False),  # the next free place
    Column("put_off_to", UtcDateTime),  # to where messages that found none were put off
)

audience_members = Table(
    "audience_members",
    metadata,
    Column("campaign_id", BigKey, ForeignKey("campaigns.id"), primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("address", Text),
    Column("person_hash", Hash, nullable=False),
    Column("untagged_hash", Hash, nullable=False),
    Column("fields", JSON, nullable=False),
    UniqueConstraint("campaign_id", "person_hash"),
    # In the order of the list, so that a million members against ten million entries is one walk.
    Index("ix_audience_members_mailbox", "campaign_id", "untagged_hash", "person_hash"),
)

# SQLite takes a partial index only where the statement repeats its words, not bound parameters.
IS_CLAIMABLE = text("state IN ('queued', 'deferred')")
IS_LEASED = text("state IN ('claimed', 'sending')")
# By kind: `campaign_id IS NULL` would draw SQLite to the index of campaigns, and make it sort all
# that waits for each claim.
IS_NO_CAMPAIGN = text("kind <> 'campaign'")
_IS_DUE_FIRST = text(f"{IS_CLAIMABLE.text} AND {IS_NO_CAMPAIGN.text}")
# Not only to be small: SQLite, after an ANALYZE, would take this index for order status as well.
_IS_DUE_OFFER = text(f"{IS_CLAIMABLE.text} AND campaign_id IS NOT NULL")
# What the shop is told of an order status: each state in which it may stay.
IS_UNTOLD = text(
    "kind = 'order_status' AND (told_state IS NULL OR told_state <> state) AND state IN"
    " ('sent', 'bounced', 'rejected', 'expired', 'withheld', 'uncertain', 'cancelled')"
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("campaign_id", BigKey, ForeignKey("campaigns.id")),
    Column("type", String(60)),  # the order-status type
    Column("idempotency_key", String(200), unique=True),
    Column("address", Text),  # NULL once erased or past its retention
    Column("person_hash", Hash, nullable=False),
    Column("untagged_hash", Hash, nullable=False),
    Column("fields", JSON, nullable=False),
    Column("priority", Integer, nullable=False),  # lower goes first
    Column("state", String(12), nullable=False),
    Column("not_before", UtcDateTime, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("message_id", String(120), nullable=False, unique=True),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("resends", Integer, nullable=False, server_default="0"),  # after uncertain
    Column("attempt_id", BigKey),  # the latest delivery attempt
    Column("claimed_by", String(120)),
    Column("lease_until", UtcDateTime),
    Column("list_sequence", BigKey),  # the ledger's length that the last look saw
    Column("withheld_reason", String(20)),
    Column("last_reply", Text),
    Column("finished_at", UtcDateTime),
    Column("content_digest", String(64)),  # keyed, of what the shop handed over
    # What of an order status the shop was told last, and where that stands in the order of changes.
    Column("told_state", String(12)),
    Column("told_sequence", BigKey),
    _one_of("kind", MessageKind),
    _one_of("state", State),
    CheckConstraint("(kind = 'campaign') = (campaign_id IS NOT NULL)", name="campaign_has_one"),
    CheckConstraint(
        "kind <> 'order_status' OR (type IS NOT NULL AND idempotency_key IS NOT NULL)",
        name="order_status_is_keyed",
    ),
    UniqueConstraint("campaign_id", "person_hash"),
    Index(None, "person_hash"),
    Index(None, "untagged_hash", sqlite_where=IS_TAGGED, postgresql_where=IS_TAGGED),
    Index("ix_outbox_due", "priority", "not_before", "id",
          sqlite_where=_IS_DUE_FIRST, postgresql_where=_IS_DUE_FIRST),
    Index("ix_outbox_due_campaign", "campaign_id", "not_before", "id",
          sqlite_where=_IS_DUE_OFFER, postgresql_where=_IS_DUE_OFFER),
    Index("ix_outbox_leased", "lease_until",
          sqlite_where=IS_LEASED, postgresql_where=IS_LEASED),
    Index("ix_outbox_state", "campaign_id", "state", "id"),
    Index("ix_outbox_told_sequence", "told_sequence", unique=True),
    Index("ix_outbox_untold", "finished_at", "id", sqlite_where=IS_UNTOLD,
          postgresql_where=IS_UNTOLD),
)  # fmt: skip

# One row: how many changes have got their place. Locked by whoever gives places, before any other.
told_head = Table(
    "told_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigKey, nullable=False),
)

delivery_attempts = Table(
    "delivery_attempts",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("outbox_id", BigKey, ForeignKey("outbox.id"), nullable=False),
    Column("daemon", String(120), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("list_sequence", BigKey),
    Column("finished_at", UtcDateTime),
    Column("outcome", String(20)),
    Column("reply", Text),
    Index(None, "outbox_id"),
)

# A message that its recipient complained of counts once against its campaign.
campaign_complaints = Table(
    "campaign_complaints",
    metadata,
    Column("outbox_id", BigKey, ForeignKey("outbox.id"), primary_key=True),
    Column("campaign_id", BigKey, ForeignKey("campaigns.id"), nullable=False),
    Column("at", UtcDateTime, nullable=False),
)

# --- wishes from the public page ------------------------------------------------------------------

# The door on PostgreSQL: the page's role may add a line here, and nothing else anywhere. No key and
# no sequence, which it would need rights for.
door_wishes = Table(
    "door_wishes",
    metadata,
    Column("line", Text, nullable=False),  # as in a spool (see store.spool)
    Column("entered_at", UtcDateTime, nullable=False, server_default=func.now()),
    CheckConstraint("length(line) <= 2000", name="line_is_short"),
    Index(None, "entered_at"),
)

# What came through the door lately: what may be undone, and what was done already.
wishes_taken = Table(
    "wishes_taken",
    metadata,
    Column("wish_id", Hash, primary_key=True),
    Column("kind", String(12), nullable=False),
    Column("person_hash", Hash),
    Column("received_at", UtcDateTime, nullable=False),
    Column("taken_at", UtcDateTime, nullable=False),
    Column("outcome", String(20), nullable=False),
    Column("sequence", BigKey),  # of its event in the ledger
    Index(None, "person_hash"),
    Index(None, "taken_at"),
)

# Codes of confirmation mails: who comes back by one. Only the digest is here.
return_codes = Table(
    "return_codes",
    metadata,
    Column("code_digest", String(64), primary_key=True),
    Column("person_hash", Hash, nullable=False),
    Column("untagged_hash", Hash, nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("used_at", UtcDateTime),
    Index(None, "person_hash"),
)

# --- the API --------------------------------------------------------------------------------------

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("name", String(60), nullable=False, unique=True),
    Column("starts_with", String(12), nullable=False),  # how a person knows it again
    Column("digest", String(64), nullable=False, unique=True),
    Column("scopes", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", String(100), nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
)

# --- switches -----------------------------------------------------------------------------------

switches = Table(
    "switches",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("is_on", Boolean, nullable=False),
    Column("because", Text),
    Column("set_at", UtcDateTime, nullable=False),
)
