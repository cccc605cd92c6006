"""Every error as `application/problem+json` (RFC 9457): what is wrong, where, what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from starlette.responses import JSONResponse

from mailbot.core.errors import KeyReusedError, MailbotError, StoreError


class Problem(Exception):
    """An answer other than the one that was asked for."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        code: str = "",
        next_step: str = "",
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`code` names the kind of problem to a program; `errors` are faults of single fields."""
        super().__init__(detail)
        self.status = status
        self.code = code or HTTPStatus(status).phrase.lower().replace(" ", "-")
        self.detail = detail
        self.next_step = next_step
        self.errors = [dict(error) for error in errors]
        self.headers = dict(headers or {})

    def answer(self) -> JSONResponse:
        """The response."""
        body: dict[str, object] = {
            "type": f"urn:mailbot:problem:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.next_step:
            body["next_step"] = self.next_step
        if self.errors:
            body["errors"] = self.errors
        return JSONResponse(body, self.status, self.headers, media_type="application/problem+json")


def problem_of(error: MailbotError) -> Problem:
    """What one of our errors is to whoever asked over HTTP."""
    detail = f"{error.where}: {error.what}" if error.where else error.what
    if isinstance(error, StoreError):
        return Problem(
            503, "It is not known to be stored: ask again, under the same Idempotency-Key.",
            code="store-unavailable", headers={"Retry-After": "5"},
        )  # fmt: skip
    code = "idempotency-key-reused" if isinstance(error, KeyReusedError) else "cannot-be-used"
    return Problem(422, detail, code=code, next_step=error.next_step)
