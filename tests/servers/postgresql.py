"""A throw-away PostgreSQL: a cluster in a temp folder, a free port of 127.0.0.1, ended by its pid.

Its databases belong to ROLE, which may make databases and is no superuser, as in a shop. Run by
root, the server runs as `nobody`; run by anyone else, as that user. Whoever is on this machine may
connect: there is never anything in it but what a test made up.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import sql

from tests.servers.dovecot import free_port

DEBIANS = Path("/usr/lib/postgresql")  # a folder a version, which stand outside PATH
ROLE = "mailbot"
START_SECONDS = 30.0

# {fsync}: a test that pulls the plug wants it; the others would wait for the disk, for nothing.
# A session's zone that is not UTC, as on a shop's server: it must be the same to mailbot.
CONFIG = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{folder}'
max_connections = 300
fsync = {fsync}
full_page_writes = {fsync}
autovacuum = off
shared_buffers = 32MB
max_wal_size = 4GB
checkpoint_timeout = 1h
timezone = 'Asia/Kolkata'
log_line_prefix = '%m [%p] %d '
"""


def programs() -> Path | None:
    """The folder of PostgreSQL's server programs, the newest version; None where there is none."""
    versions = [path.parent for path in DEBIANS.glob("*/bin/initdb")]
    if versions:
        return max(versions, key=lambda path: float(path.parent.name))
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


class PostgreSQL:
    """One server; `start`, `stop` and `start` again keep the port and the databases."""

    def __init__(self, *, is_durable: bool = False) -> None:
        """Make a cluster; without `is_durable` nothing in it survives a crash of the machine."""
        found = programs()
        if found is None:
            raise RuntimeError(
                "PostgreSQL's server is not installed. As root: make servers, or apt-get install "
                "--no-install-recommends postgresql"
            )
        self._programs = found
        account = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
        self._as_other: dict[str, Any] = (
            {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            if os.getuid() == 0
            else {}
        )
        self.folder = Path(tempfile.mkdtemp(prefix="mbpg-"))
        os.chown(self.folder, account.pw_uid, account.pw_gid)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._make_cluster(is_durable)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Start, and wait until it takes connections."""
        # setpriv: where the tests are killed, their server goes with them.
        server = ["setpriv", "--pdeathsig", "INT", f"{self._programs}/postgres", "-D", "data"]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                server, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                start_new_session=True, **self._as_other,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while not self._greets():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"postgres did not start:\n{self.log()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End the server; connected clients lose their connection at once."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)  # "fast": no client is waited for
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)  # a session of its own: nobody else's
            self._process.wait(timeout=10)
        self._process = None

    def log(self) -> str:
        """What the server said."""
        path = self.folder / "server.log"
        return path.read_text(errors="replace") if path.exists() else ""

    # -- databases ---------------------------------------------------------------------------

    def url(self, name: str) -> str:
        """The database as `store.url` names it."""
        return f"postgresql+psycopg://{ROLE}@127.0.0.1:{self.port}/{name}"

    def create(self, name: str, template: str = "template0") -> str:
        """Make a database, like `template` (to which nobody may be connected); returns its URL."""
        # Copied file by file: twice as fast as through the log, where no disk is waited for.
        self._run(sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
            sql.Identifier(name), sql.Identifier(template)
        ))  # fmt: skip
        return self.url(name)

    def drop(self, name: str) -> None:
        """Remove a database, whoever is connected to it."""
        self._run(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def checkpoint(self) -> None:
        """Write everything that was committed into the files of the databases, below `folder`."""
        with self._connected("postgres") as conn:
            conn.execute("CHECKPOINT")

    # -- inside ------------------------------------------------------------------------------

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _make_cluster(self, is_durable: bool) -> None:
        made = subprocess.run(
            [self._programs / "initdb", "-D", self._data, "--username=postgres", "--auth=trust",
             "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"],
            cwd=self.folder, capture_output=True, text=True, check=False, **self._as_other,
        )  # fmt: skip
        if made.returncode != 0:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise RuntimeError(f"initdb made no cluster:\n{made.stdout}{made.stderr}")
        text = CONFIG.format(
            folder=self.folder, port=self.port, fsync="on" if is_durable else "off"
        )
        with (self._data / "postgresql.conf").open("a", encoding="utf-8") as config:
            config.write(text)

    def _greets(self) -> bool:
        try:
            with self._connected("postgres") as conn:
                conn.execute(f"""
                    DO $$ BEGIN CREATE ROLE {ROLE} LOGIN CREATEDB;
                    EXCEPTION WHEN duplicate_object THEN NULL; END $$
                """)
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, statement: sql.Composed) -> None:
        with self._connected(ROLE) as conn:
            conn.execute(statement)

    def _connected(self, role: str) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=role, dbname="postgres", connect_timeout=5,
            autocommit=True,
        )  # fmt: skip
