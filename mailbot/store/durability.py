"""Where a PostgreSQL could lose what it answered with COMMIT."""

from __future__ import annotations

from sqlalchemy import Connection, text


def risks(conn: Connection) -> list[str]:
    """Each in a sentence; none for SQLite, which mailbot itself sets to be durable."""
    if conn.dialect.name != "postgresql":
        return []
    shown = {
        name: conn.execute(text(f"SHOW {name}")).scalar_one()
        for name in ("fsync", "full_page_writes", "synchronous_commit", "synchronous_standby_names")
    }
    found = []
    if shown["fsync"] != "on":
        found.append("fsync is off: a crash of its machine loses answered opt-outs.")
    if shown["full_page_writes"] != "on":
        found.append("full_page_writes is off: a crash of its machine may damage the database.")
    if shown["synchronous_commit"] == "off":
        found.append("synchronous_commit is off: a crash loses what was answered last.")
    # The state is hidden from a user without pg_monitor: then the settings have to do.
    standbys = conn.execute(text("SELECT sync_state FROM pg_stat_replication")).scalars().all()
    is_waited_for = shown["synchronous_standby_names"] != "" and shown["synchronous_commit"] in (
        "on", "remote_write", "remote_apply",
    )  # fmt: skip
    if standbys and not is_waited_for:
        found.append(
            "its standbys follow without being waited for: after a failover the last opt-outs "
            "are missing there (set synchronous_standby_names)."
        )
    return found
