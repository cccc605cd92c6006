"""Where a campaign's people came from: the source, the query and its hash."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in (
        sa.Column("audience_source", sa.Text(), nullable=True),
        sa.Column("audience_query", sa.Text(), nullable=True),
        sa.Column("audience_query_hash", sa.String(length=64), nullable=True),
    ):
        op.add_column("campaigns", column)
