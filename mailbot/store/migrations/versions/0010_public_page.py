"""The public page: its door, what came through it, and the codes of those who come back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mailbot.store.columns import BigKey, UtcDateTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "door_wishes",
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("entered_at", UtcDateTime(), nullable=False, server_default=sa.func.now()),
        sa.CheckConstraint("length(line) <= 2000", name=op.f("ck_door_wishes_line_is_short")),
    )
    op.create_index(op.f("ix_door_wishes_entered_at"), "door_wishes", ["entered_at"])
    op.create_table(
        "wishes_taken",
        sa.Column("wish_id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("person_hash", sa.String(32), nullable=True),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("taken_at", UtcDateTime(), nullable=False),
        sa.Column("outcome", sa.String(20), nullable=False),
        sa.Column("sequence", BigKey, nullable=True),
        sa.PrimaryKeyConstraint("wish_id", name=op.f("pk_wishes_taken")),
    )
    op.create_index(op.f("ix_wishes_taken_person_hash"), "wishes_taken", ["person_hash"])
    op.create_index(op.f("ix_wishes_taken_taken_at"), "wishes_taken", ["taken_at"])
    op.create_table(
        "return_codes",
        sa.Column("code_digest", sa.String(64), nullable=False),
        sa.Column("person_hash", sa.String(32), nullable=False),
        sa.Column("untagged_hash", sa.String(32), nullable=False),
        sa.Column("made_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("used_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("code_digest", name=op.f("pk_return_codes")),
    )
    op.create_index(op.f("ix_return_codes_person_hash"), "return_codes", ["person_hash"])
