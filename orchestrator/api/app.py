"""The application: routes, pages and gate put together; made once a process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match

from orchestrator.api import problems
from orchestrator.api.bodies import PolicyChoice
from orchestrator.api.gate import ENDLESS, App, Gate, Limits, Scope, Token
from orchestrator.api.gateway import Gateway
from orchestrator.api.history import HistoryOfMinutes
from orchestrator.api.metrics import RequestMetrics, registry_of
from orchestrator.api.model import ReadModel
from orchestrator.api.pages import make_pages
from orchestrator.api.problems import ApiProblem
from orchestrator.api.reader import Link
from orchestrator.api.routes import make_router
from orchestrator.api.stream import Streams
from schemas import codec
from schemas.errors import BrokerError, SettingsError, TapestreamError
from schemas.settings import Settings
from schemas.tasks import TaskRequest

MADE_BY_HAND = (TaskRequest, PolicyChoice, problems.Problem)
"""Models that the document names and no declared parameter does."""

DESCRIPTION = """\
Tasks in, results and decisions out. What is accepted here goes onto the Kafka topics that every other client
uses; what is shown is read from them. Every call needs `Authorization: Bearer $TAPESTREAM_API_TOKEN`. Errors
are problem documents (RFC 9457).
"""


@dataclass(frozen=True, slots=True)
class Api:
    """The application and what a server must know of it."""

    app: App
    model: ReadModel
    link: Link
    document: Callable[[], bytes]


def make_api(settings: Settings, limits: Limits | None = None, version: str = "0") -> Api:
    """Put the application together.

    Raises
    ------
    SettingsError
        When no token is configured.
    """
    token = token_of(settings)
    model = ReadModel()
    link = Link(settings, model)
    history = HistoryOfMinutes(model)
    app = FastAPI(
        title="Tapestream",
        version=version,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=_lifespan(link, history),
        redirect_slashes=False,
    )
    registry = registry_of(model)
    document = _once(lambda: codec.dumps(openapi(app)))
    routers = (
        make_router(link, Gateway(link), Streams(model), history),
        make_pages(model, registry, document),
    )
    for router in routers:
        app.include_router(router)
    _refuse_in_our_words(app, [route for router in routers for route in router.routes])
    return Api(Gate(app, token, limits or Limits(), RequestMetrics(registry)), model, link, document)


def token_of(settings: Settings) -> Token:
    """The configured token.

    Raises
    ------
    SettingsError
        When there is none.
    """
    if settings.api_token is None:
        raise SettingsError(
            "the API needs a token", 'set one: export TAPESTREAM_API_TOKEN="$(openssl rand -hex 32)"'
        )
    return Token(settings.api_token.get_secret_value())


def _lifespan(link: Link, history: HistoryOfMinutes) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(link.run()), asyncio.create_task(history.run())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    return lifespan


def _refuse_in_our_words(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Whatever is raised in a route becomes a problem document; the framework has other shapes."""

    async def refuse(request: Request, exc: Exception) -> Response:
        problem = _problem_of(exc)
        if problem.status == HTTPStatus.METHOD_NOT_ALLOWED:
            problem.headers["allow"] = ", ".join(sorted(_allowed(routes, request.scope)))
        body = problem.document(request.scope["state"]["request_id"])
        return Response(body, problem.status, problem.headers, media_type=problems.MEDIA_TYPE)

    for kind in (TapestreamError, RequestValidationError, HTTPException, TimeoutError, Exception):
        app.add_exception_handler(kind, refuse)


def _allowed(routes: Iterable[BaseRoute], scope: Scope) -> set[str]:
    """The methods of a path; each is a route of its own, and the framework names those of the first one."""
    here = [route for route in routes if route.matches(scope)[0] is not Match.NONE]
    found = {method for route in here for method in getattr(route, "methods", None) or ()}
    return found | {"HEAD"} if "GET" in found and scope["path"] != ENDLESS else found


def _problem_of(exc: Exception) -> ApiProblem:
    match exc:
        case ApiProblem():
            return exc
        case RequestValidationError():
            return problems.unprocessable(list(exc.errors()))
        case HTTPException():
            return problems.of_status(exc.status_code, str(exc.detail), dict(exc.headers or {}))
        case BrokerError():
            return problems.log_unavailable(exc.problem)
        case TimeoutError():
            return problems.log_unavailable("Kafka does not answer in time")
        case _:  # the gate logs it
            return problems.internal()


def openapi(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with the token and the models of bodies that we read ourselves."""
    found = get_openapi(title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes)
    components = found.setdefault("components", {})
    _, extra = models_json_schema(
        [(model, "validation") for model in MADE_BY_HAND], ref_template="#/components/schemas/{model}"
    )
    components.setdefault("schemas", {}).update(extra.get("$defs", {}))
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    found["security"] = [{"token": []}]
    for operations in found["paths"].values():
        for operation in operations.values():
            _our_validation_errors(operation)
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    return found


def _our_validation_errors(operation: dict[str, Any]) -> None:
    """FastAPI adds its own 422 where there are parameters; ours has another shape."""
    answer = operation["responses"].get("422")
    if answer and "application/json" in answer.get("content", {}):
        answer["content"] = {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}


def _once(make: Callable[[], bytes]) -> Callable[[], bytes]:
    made: list[bytes] = []

    def get() -> bytes:
        if not made:
            made.append(make())
        return made[0]

    return get
