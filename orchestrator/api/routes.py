"""The paths of the API. Each is twice there: under ``/api/v1``, and short, as people type it."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ValidationError

from orchestrator.api import bodies, market_views, problems, views
from orchestrator.api.gateway import Gateway
from orchestrator.api.history import HistoryOfMinutes
from orchestrator.api.model import ReadModel
from orchestrator.api.reader import Link
from orchestrator.api.stream import Streams
from schemas import codec
from schemas.errors import FrameError
from schemas.tasks import TaskRequest, TaskState

PREFIX = "/api/v1"

Limit = Annotated[int, Query(ge=1, le=500, description="at most so many")]
Cursor = Annotated[
    str | None, Query(max_length=300, description="`next_cursor` of the page before", examples=["120"])
]
TaskId = Annotated[
    str, Path(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:@-]+$", examples=["my-task-1"])
]
M = TypeVar("M", bound=BaseModel)
Endpoint = Callable[..., Coroutine[Any, Any, Response]]


def answer(body: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer in JSON."""
    return Response(codec.dumps(body), status, headers, media_type="application/json")


def now_ms() -> int:
    """The time that answers state."""
    return time.time_ns() // 1_000_000


async def read_body(request: Request, model: type[M]) -> M:
    """The request's JSON, whatever type its sender says that it is: ``curl -d`` says a form's.

    Raises
    ------
    ApiProblem
        When it is no JSON, or a field is wrong.
    """
    payload = await request.body()
    try:
        value = codec.loads(payload)
    except FrameError as exc:
        raise problems.bad_request(exc.problem, exc.remedy, field="body") from exc
    try:
        return model.model_validate(value)
    except ValidationError as exc:
        raise problems.unprocessable(list(exc.errors(include_url=False, include_input=False))) from exc


def one_value(request: Request, name: str) -> None:
    """Refuse a header that was sent twice and says two things.

    Raises
    ------
    ApiProblem
        When it does.
    """
    values = request.headers.getlist(name)
    if len(set(values)) > 1:
        raise problems.bad_request(f"was sent {len(values)} times, with other values", "send one", field=name)


def body_of(model: type[BaseModel], example: dict[str, Any]) -> dict[str, Any]:
    """What the OpenAPI document says of a body that :func:`read_body` reads."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schema, "example": example}},
        }
    }


_PROBLEM = {"content": {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


def _says(model: type[BaseModel], *refusals: int, status: int = 200, text: str = "") -> dict[int | str, Any]:
    """What the OpenAPI document says of a path's answers."""
    words = {
        400: "It cannot be understood.",
        401: "The token is absent or wrong.",
        404: "There is no such task.",
        408: "The body did not come in time.",
        409: "The key or the id belongs to another request.",
        413: "The body is too large.",
        422: "A field is wrong.",
        503: "Kafka does not answer, or the topics are still being read.",
    }
    said: dict[int | str, Any] = {status: {"model": model, "description": text or "Here it is."}}
    return said | {code: {"description": words[code], **_PROBLEM} for code in (401, *refusals)}


def make_router(link: Link, gateway: Gateway, streams: Streams, history: HistoryOfMinutes) -> APIRouter:
    """All paths."""
    router = APIRouter()
    model: ReadModel = link.model

    def path(
        method: str, where: str, name: str, responses: dict[int | str, Any], **more: Any
    ) -> Callable[[Endpoint], Endpoint]:
        """Declare an endpoint under the prefix, and short outside of the document."""

        def declare(endpoint: Endpoint) -> Endpoint:
            for full, shown in ((PREFIX + where, True), (where, False)):
                router.add_api_route(
                    full,
                    endpoint,
                    methods=[method],
                    operation_id=name if shown else None,
                    summary=(endpoint.__doc__ or name).strip().splitlines()[0],
                    include_in_schema=shown,
                    responses=responses,
                    response_class=Response,
                    response_model=None,
                    status_code=next(int(code) for code in responses),
                    **more,
                )
            return endpoint

        return declare

    @path("GET", "/gpu/stats", "stats", _says(bodies.Stats), tags=["look"])
    async def stats() -> Response:
        """Everything in a few numbers."""
        return answer(views.stats(model, now_ms()))

    @path("GET", "/gpu/stats/history", "history", _says(bodies.History), tags=["look"])
    async def past() -> Response:
        """The last ten minutes in samples."""
        return answer(history.body())

    @path("GET", "/gpu/resources", "resources", _says(bodies.Resources), tags=["look"])
    async def resources() -> Response:
        """The devices: memory, health, what is promised of each."""
        return answer(views.resources(model, now_ms()))

    @path("GET", "/market/stats", "market_stats", _says(bodies.MarketStats), tags=["look"])
    async def market_stats() -> Response:
        """The market stream: throughput, accounting, lag and latency, and its workers."""
        return answer(market_views.stats(model.market, now_ms()))

    @path("GET", "/market/signals", "signals", _says(bodies.Signals, 422), tags=["look"])
    async def signals(
        limit: Limit = 50,
        kind: Annotated[str | None, Query(max_length=128)] = None,
        symbol: Annotated[str | None, Query(max_length=128)] = None,
    ) -> Response:
        """The latest signals, the newest first, as far as they are in memory."""
        return answer(market_views.signals(model.market, limit, kind, symbol))

    @path(
        "POST",
        "/gpu/tasks",
        "submit_task",
        _says(bodies.Accepted, 400, 408, 409, 413, 422, 503, status=202, text="It is on the log."),
        tags=["tasks"],
        openapi_extra=body_of(TaskRequest, bodies.TASK_EXAMPLE),
    )
    async def submit(
        request: Request,
        idempotency_key: Annotated[
            str | None, Header(description="the same key does nothing twice", max_length=256)
        ] = None,
    ) -> Response:
        """Have a task done. Sent twice with the same `Idempotency-Key`, it is done once."""
        one_value(request, "Idempotency-Key")
        asked = await read_body(request, TaskRequest)
        row, repeated = await gateway.submit(asked, idempotency_key)
        href = f"{PREFIX}/gpu/tasks/{row.task_id}"
        body = bodies.Accepted(task_id=row.task_id, state=row.state, repeated=repeated, href=href)
        return answer(body, 202, {"Location": href})

    @path("GET", "/gpu/tasks", "list_tasks", _says(bodies.TaskPage, 400, 422), tags=["tasks"])
    async def tasks(
        limit: Limit = 50,
        cursor: Cursor = None,
        state: TaskState | None = None,
        task_type: Annotated[str | None, Query(max_length=128)] = None,
    ) -> Response:
        """Tasks, the newest first. With a filter a page may be short and still have a next one."""
        return answer(views.task_page(model, limit=limit, cursor=cursor, state=state, task_type=task_type))

    @path("GET", "/gpu/tasks/{task_id}", "task", _says(bodies.TaskDetail, 404, 422, 503), tags=["tasks"])
    async def task(task_id: TaskId) -> Response:
        """One task with its request and its result."""
        row = model.tasks.get(task_id)
        if row is None:
            raise problems.unknown_task(task_id) if model.caught_up else problems.not_ready()
        request, result = await link.message(row.request_at), await link.message(row.result_at)
        return answer(views.task_detail(row, request, result))

    @path(
        "DELETE",
        "/gpu/tasks/{task_id}",
        "cancel_task",
        _says(bodies.TaskBody, 404, 422, 503, status=202, text="It is asked to end, or is over."),
        tags=["tasks"],
    )
    async def cancel(
        task_id: TaskId, reason: Annotated[str, Query(max_length=256, description="for people")] = ""
    ) -> Response:
        """End a task, wherever it is. Nothing happens to one that is over."""
        return answer(views.task(await gateway.cancel(task_id, reason)), 202)

    @path("GET", "/gpu/memory/alerts", "alerts", _says(bodies.Alerts, 422), tags=["memory"])
    async def alerts(limit: Limit = 100) -> Response:
        """Alerts about memory: open ones, and what was said last."""
        return answer(views.alerts(model, limit))

    @path("GET", "/gpu/memory/policy", "policy", _says(bodies.Policy), tags=["memory"])
    async def policy() -> Response:
        """What the memory guards do when memory is low."""
        return answer(views.policy(model))

    @path(
        "POST",
        "/gpu/memory/policy",
        "choose_policy",
        _says(bodies.Policy, 400, 408, 413, 422, 503, status=202, text="The guards are told."),
        tags=["memory"],
        openapi_extra=body_of(bodies.PolicyChoice, {"policy": "aggressive"}),
    )
    async def choose(request: Request) -> Response:
        """Switch all memory guards to a policy, while they run."""
        choice = await read_body(request, bodies.PolicyChoice)
        await gateway.choose_policy(choice.policy, "api")
        return answer(views.policy(model), 202)

    @path("GET", "/gpu/allocations", "allocations", _says(bodies.Allocations, 400, 422), tags=["look"])
    async def allocations(limit: Limit = 50, cursor: Cursor = None) -> Response:
        """Who has which device now, and the decisions that led there, ignored ones too."""
        return answer(views.allocations(model, limit=limit, cursor=cursor))

    @router.get(
        f"{PREFIX}/events",
        operation_id="events",
        summary="States of tasks, alerts and policies as they change.",
        tags=["look"],
        response_class=StreamingResponse,
        responses={
            200: {"description": "Server-sent events.", "content": {"text/event-stream": {}}},
            400: {"description": "The id is none of ours.", **_PROBLEM},
            401: {"description": "The token is absent or wrong.", **_PROBLEM},
            422: {"description": "A field is wrong.", **_PROBLEM},
            503: {"description": "There are too many streams.", **_PROBLEM},
        },
    )
    async def events(
        last_event_id: Annotated[
            str | None, Header(max_length=8_192, description="go on after this event")
        ] = None,
        kind: Annotated[list[Literal["task", "alert", "policy"]] | None, Query(max_length=3)] = None,
        task_id: Annotated[str | None, Query(max_length=128, description="only this task's")] = None,
    ) -> StreamingResponse:
        """States of tasks, alerts and policies as they change.

        Each event has an id. A client that comes back with it in `Last-Event-ID` gets what it missed, from
        this process or another; if that is no longer known, an event `reset` says so.
        """
        chunks = streams.follow(last_event_id, frozenset(kind or ("task", "alert", "policy")), task_id)
        return StreamingResponse(chunks, media_type="text/event-stream")

    return router
