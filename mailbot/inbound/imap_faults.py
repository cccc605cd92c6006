"""What went wrong with an IMAP server, in the words of the person who must act.

Part of the adapter inbound/imap.py: whatever imapclient (whose errors are imaplib's), ssl and the
socket raise becomes MailboxUnavailable or MailboxRefused here.
"""

from __future__ import annotations

import imaplib
import logging
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from mailbot.core.errors import MailboxError, MailboxRefused, MailboxUnavailable

# imapclient logs every line of the conversation at debug level, customers' mail included.
logging.getLogger("imapclient").setLevel(logging.WARNING)

# RFC 5530 §3: the server will, or may, do the same command later.
_PASSING = re.compile(
    r"\[(UNAVAILABLE|INUSE|LIMIT|SERVERBUG|CONTACTADMIN|OVERQUOTA)\b", re.IGNORECASE
)

_SECURING = ("connecting", "starting TLS")


@contextmanager
def explained(where: str, doing: str, *, refuses: str = "") -> Iterator[None]:
    """Run library calls; whatever they raise leaves as a MailboxError that names `where`.

    `refuses="folder"` says that a plain NO means a missing folder.
    """
    try:
        yield
    except MailboxError:
        raise
    except ssl.SSLError as error:
        raise _tls_failed(where, doing, error) from error
    except OSError as error:
        raise _unreachable(where, doing, error) from error
    except imaplib.IMAP4.abort as error:
        raise MailboxUnavailable(
            f"the connection was lost while {doing} ({server_text(error)}).", where=where
        ) from error
    except imaplib.IMAP4.error as error:
        raise _answered_no(where, doing, error, refuses) from error
    except Exception as error:  # imapclient lets parser errors of any kind through on odd answers
        raise MailboxUnavailable(
            f"the server's answer while {doing} made no sense"
            f" ({type(error).__name__}: {server_text(error)}).",
            where=where,
        ) from error


def server_text(error: BaseException) -> str:
    """The server's own words, on one line, without Python's marks around bytes."""
    text = error.args[0] if error.args else ""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    text = re.sub(r"\bb(['\"])(.*?)\1", r"\2", str(text))
    text = re.sub(r"^\w+ failed: | \([\d.+ ]+secs\)", "", text)  # imapclient's and Dovecot's marks
    return " ".join(text.split())[:300] or type(error).__name__


def is_passing(error: BaseException) -> bool:
    """Whether the server says that it may do the same command later."""
    return _PASSING.search(server_text(error)) is not None


def login_refused(where: str, error: imaplib.IMAP4.error) -> MailboxError:
    """What a failed login means: imapclient raises the same error for a wrong password and for a
    lost connection."""
    if isinstance(error.__context__, imaplib.IMAP4.abort):
        return MailboxUnavailable("the connection was lost while logging in.", where=where)
    text = server_text(error)
    if "illegal in state AUTH" in text:  # imaplib, after a greeting of PREAUTH
        return MailboxRefused(
            "the server greets as if somebody were logged in already (PREAUTH), and does not say"
            " who.",
            where=where,
            next_step="Ask who runs the server for a port that asks for a password.",
        )
    if is_passing(error):
        return MailboxUnavailable(f"the server takes no login now ({text}).", where=where)
    return MailboxRefused(
        f"the server refused the user name or the password ({text}).",
        where=where,
        next_step="Check username and password_file; some providers want an app password.",
    )


def _tls_failed(where: str, doing: str, error: ssl.SSLError) -> MailboxError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return MailboxRefused(
            f"the server's certificate is not trusted ({error.verify_message}).",
            where=where,
            next_step="Write the host name that stands in the certificate, or name its issuer's "
            "PEM file as ca_file.",
        )
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return MailboxUnavailable(f"the server hung up while {doing}.", where=where)
    reason = (error.reason or str(error)).lower().replace("_", " ")
    if doing not in _SECURING:  # TLS stood, and a record came that is not the server's
        return MailboxUnavailable(f"the line was disturbed while {doing} ({reason}).", where=where)
    return MailboxRefused(
        f"no TLS connection could be made ({reason}).",
        where=where,
        next_step='Check port and security: "tls" goes with 993, "starttls" with 143.',
    )


def _unreachable(where: str, doing: str, error: OSError) -> MailboxError:
    if isinstance(error, socket.gaierror):
        return MailboxUnavailable(
            "this host name is unknown.", where=where, next_step="Check host, and the DNS."
        )
    if isinstance(error, TimeoutError):
        return MailboxUnavailable(
            f"the server did not answer in time while {doing}.",
            where=where,
            next_step='Check the network; on port 993 security must be "tls".',
        )
    if isinstance(error, ConnectionRefusedError):
        return MailboxUnavailable(
            "no server listens there (connection refused).",
            where=where,
            next_step="Check host and port, and whether the server runs.",
        )
    reason = error.strerror or str(error)
    return MailboxUnavailable(f"the connection failed while {doing} ({reason}).", where=where)


def _answered_no(where: str, doing: str, error: imaplib.IMAP4.error, refuses: str) -> MailboxError:
    text = server_text(error)
    if refuses == "folder" and not is_passing(error):
        return MailboxRefused(
            f"the server refused {doing} ({text}).",
            where=where,
            next_step="Check folders; `mailbot check` lists those that exist.",
        )
    return MailboxUnavailable(f"the server refused {doing} ({text}).", where=where)
