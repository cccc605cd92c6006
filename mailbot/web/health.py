"""Whether the public page answers where the mails' links point, asked as anybody would."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from http.client import HTTPException, HTTPResponse, HTTPSConnection
from typing import Final
from urllib.parse import urlsplit

from mailbot.core.errors import PageUnavailable

HEALTHY: Final = "The public page is up.\n"
_LONGEST_ANSWER: Final = 1000  # bytes that are looked at


def ask(url: str, timeout_seconds: float = 10) -> Mapping[str, object] | None:
    """GET `{url}/health`; returns the certificate that was shown.

    Raises PageUnavailable where nobody answers, or somebody else does.
    """
    place = urlsplit(url)
    line = HTTPSConnection(
        place.hostname or "", place.port, timeout=timeout_seconds,
        context=ssl.create_default_context(),
    )  # fmt: skip
    try:
        line.connect()
        certificate = line.sock.getpeercert() if isinstance(line.sock, ssl.SSLSocket) else None
        line.request("GET", f"{place.path}/health", headers={"User-Agent": "mailbot check"})
        _judge(line.getresponse(), url)
    except ssl.SSLCertVerificationError as error:
        raise PageUnavailable(
            f"its certificate is not good ({error.verify_message}).",
            where=url,
            next_step="Mend it: mail programs press the button for nobody else.",
        ) from error
    except (OSError, HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise PageUnavailable(
            f"nobody answers ({reason}).",
            where=url,
            next_step="Are mailbot-public and the web server in front of it running?",
        ) from error
    finally:
        line.close()
    return certificate


def _judge(answer: HTTPResponse, url: str) -> None:
    said = answer.read(_LONGEST_ANSWER).decode("latin-1")
    if answer.status == 200 and said == HEALTHY:
        return
    if answer.status == 503 and answer.getheader("Retry-After"):
        what = "it answers, and cannot store what customers wish."
        next_step = "Look at the log of mailbot-public: a full disk, or the database."
    elif 300 <= answer.status < 400:
        what = f"it answers with a redirect ({answer.status}), which RFC 8058 forbids."
        next_step = "Write the address where it really is as url under [public]."
    else:
        what = f"somebody else answers there (status {answer.status})."
        next_step = "Let the web server pass /u/, /b/, /c/ and /health on."
    raise PageUnavailable(what, where=url, next_step=next_step)
