"""Errors of one shape: RFC 9457 problem documents, and the exception that becomes one."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from pydantic import BaseModel, Field

from schemas import codec
from schemas.errors import TapestreamError

MEDIA_TYPE = "application/problem+json"

_AGAIN = "send it again; with the same Idempotency-Key nothing is done twice"


class FieldProblem(BaseModel):
    """What is wrong with one field of a request."""

    field: str
    problem: str


class Problem(BaseModel):
    """What went wrong (RFC 9457), and what the caller can do about it."""

    type: Annotated[str, Field(description="a URN that programs may branch on")]
    title: str
    status: int
    detail: str
    remedy: str | None = None
    request_id: Annotated[str, Field(description="also in the header X-Request-Id and in the log")]
    errors: list[FieldProblem] | None = None


class ApiProblem(TapestreamError):
    """A request that is not served.

    Parameters
    ----------
    status
        The answer's status code.
    kind
        Last part of the document's ``type``.
    headers
        More headers of the answer.
    """

    def __init__(
        self,
        status: HTTPStatus,
        kind: str,
        problem: str,
        remedy: str = "",
        *,
        errors: list[FieldProblem] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(problem, remedy)
        self.status = status
        self.kind = kind
        self.errors = errors
        self.headers = headers or {}

    def document(self, request_id: str) -> bytes:
        """The body of the answer."""
        return codec.dumps(
            Problem(
                type=f"urn:tapestream:problem:{self.kind}",
                title=self.status.phrase,
                status=self.status.value,
                detail=self.problem,
                remedy=self.remedy or None,
                request_id=request_id,
                errors=self.errors,
            )
        )


def unauthorized() -> ApiProblem:
    """No token, or not ours; which of them is not said."""
    return ApiProblem(
        HTTPStatus.UNAUTHORIZED,
        "unauthorized",
        "this needs the API's token",
        "send the header `Authorization: Bearer $TAPESTREAM_API_TOKEN`",
        headers={"WWW-Authenticate": 'Bearer realm="tapestream"'},
    )


def malformed() -> ApiProblem:
    """Bytes that are no HTTP request."""
    return ApiProblem(
        HTTPStatus.BAD_REQUEST,
        "malformed-request",
        "this is no HTTP/1.1 request",
        "percent-encode the path, and send one Content-Length or Transfer-Encoding: chunked",
    )


def head_too_large(limit_bytes: int) -> ApiProblem:
    """More headers than we read."""
    return ApiProblem(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "headers-too-large",
        f"a request's line and headers may have {limit_bytes:,} bytes",
        "send fewer, or shorter ones",
    )


def body_too_large(limit_bytes: int) -> ApiProblem:
    """More than we take; the rest of it is not read."""
    return ApiProblem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "body-too-large",
        f"a request's body may have {limit_bytes:,} bytes",
        "name a Parquet file under the data folder instead of sending its contents",
        headers={"Connection": "close"},
    )


def body_too_slow(seconds: float) -> ApiProblem:
    """The body did not come in time."""
    return ApiProblem(
        HTTPStatus.REQUEST_TIMEOUT,
        "body-too-slow",
        f"the request's body did not come within {seconds:g} s",
        "send it again",
        headers={"Connection": "close"},
    )


def took_too_long(seconds: float) -> ApiProblem:
    """We did not answer in time."""
    return _unavailable("timeout", f"no answer within {seconds:g} s", _AGAIN)


def log_unavailable(why: str) -> ApiProblem:
    """Kafka does not answer, so nothing can be accepted."""
    return _unavailable("log-unavailable", why, _AGAIN)


def not_ready() -> ApiProblem:
    """The topics are still being read."""
    return _unavailable("not-ready", "the topics are still being read", "wait until /ready answers 200")


def _unavailable(kind: str, problem: str, remedy: str) -> ApiProblem:
    """It passes; a client may ask again in a second."""
    return ApiProblem(HTTPStatus.SERVICE_UNAVAILABLE, kind, problem, remedy, headers={"Retry-After": "1"})


def unknown_task(task_id: str) -> ApiProblem:
    """No such task, or one that ended so long ago that it is forgotten."""
    return ApiProblem(
        HTTPStatus.NOT_FOUND, "unknown-task", f"no task is called {task_id!r}", "GET /api/v1/gpu/tasks"
    )


def conflict(problem: str, remedy: str) -> ApiProblem:
    """The id or the key is that of another request."""
    return ApiProblem(HTTPStatus.CONFLICT, "conflict", problem, remedy)


def bad_request(problem: str, remedy: str = "", *, field: str | None = None) -> ApiProblem:
    """The request cannot be understood."""
    errors = [FieldProblem(field=field, problem=problem)] if field else None
    return ApiProblem(HTTPStatus.BAD_REQUEST, "bad-request", problem, remedy, errors=errors)


def unprocessable(errors: list[Any]) -> ApiProblem:
    """Fields of the request are wrong; ``errors`` are pydantic's."""
    found = [
        FieldProblem(
            field=".".join(str(part) for part in error["loc"]) or "body",
            problem=str(error["msg"]).removeprefix("Value error, "),
        )
        for error in errors[:20]
    ]
    return ApiProblem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid-request",
        f"{found[0].field}: {found[0].problem}",
        "/docs shows what a request looks like",
        errors=found,
    )


def internal() -> ApiProblem:
    """A defect of ours; what it was is in the log, under the request's id."""
    return ApiProblem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal",
        "a defect of Tapestream",
        "the API's log has it under this request_id",
    )


def of_status(status: int, detail: str, headers: dict[str, str] | None = None) -> ApiProblem:
    """For what the framework refuses: unknown paths and methods."""
    kind = {404: "unknown-path", 405: "method-not-allowed"}.get(status, "refused")
    return ApiProblem(HTTPStatus(status), kind, detail, "/docs lists the paths", headers=headers)
