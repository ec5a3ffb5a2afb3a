"""`tapestream task`: submit tasks, watch them, cancel them, list them; by topics alone."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from schemas import codec
from schemas.errors import FrameError, TapestreamError, TaskError
from schemas.settings import Settings, load_settings

if TYPE_CHECKING:
    from streams.partition_tail import PartitionTail
    from tapestream.tasks_view import TaskRow

app = typer.Typer(help="Submit, watch, cancel and list tasks.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
NOT_SUCCEEDED = 5
"""Exit code when the task that was waited for did not succeed."""
NO_ANSWER = 3


@app.command()
def submit(
    task_type: Annotated[str, typer.Argument(help="What to do: echo, hft_analysis, ...")],
    data: Annotated[str, typer.Argument(help="Its data: a JSON object, or @file.")] = "{}",
    memory: Annotated[
        int | None, typer.Option(min=0, help="Bytes on one device; else the type's own.")
    ] = None,
    min_memory: Annotated[int | None, typer.Option(min=0, help="Retries go no lower.")] = None,
    priority: Annotated[int, typer.Option(min=0, max=9, help="9 goes first.")] = 5,
    deadline_ms: Annotated[int | None, typer.Option(min=1, help="End it so long after submission.")] = None,
    devices: Annotated[int, typer.Option(min=1, max=64, help="All at once, on one host.")] = 1,
    cpu_ok: Annotated[bool, typer.Option(help="Whether it may run on the CPU.")] = True,
    key: Annotated[
        str | None, typer.Option(help="Idempotency key: the same key is the same task.", show_default=False)
    ] = None,
    task_id: Annotated[str | None, typer.Option(help="Else one is made.", show_default=False)] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until it is over; prints its result.")] = False,
    timeout_s: Annotated[float, typer.Option(min=0.1, help="How long to wait.")] = 3600.0,
    as_json: Json = False,
) -> None:
    """Send a task to gpu.tasks and print its id; with --wait its result, with exit code 5 if it failed."""
    from schemas.tasks import TaskRequest

    fields: dict[str, Any] = {
        "task_id": task_id or id_of(key),
        "task_type": task_type,
        "data": read_data(data),
        "memory_required": memory,
        "min_memory": min_memory,
        "priority": priority,
        "deadline_ms": deadline_ms,
        "devices": devices,
        "cpu_ok": cpu_ok,
        "idempotency_key": key,
    }
    request = codec.decode(TaskRequest, codec.dumps(fields))
    settings = load_settings()
    if not wait:
        asyncio.run(_send(settings, request.task_id or "", codec.dumps(request)))
        typer.echo(codec.dumps({"task_id": request.task_id}).decode() if as_json else request.task_id)
        return
    _end(
        asyncio.run(_submit_and_wait(settings, request.task_id or "", codec.dumps(request), timeout_s)),
        as_json,
    )


@app.command()
def watch(
    task_id: Annotated[str, typer.Argument(help="The task.")],
    timeout_s: Annotated[float, typer.Option(min=0.1, help="Give up after so long.")] = 3600.0,
    as_json: Json = False,
) -> None:
    """Follow one task until it is over: each change of its state, its progress, its result."""
    last = ""

    def tell(row: TaskRow) -> None:
        nonlocal last
        line = codec.dumps(row.as_dict()).decode() if as_json else row.line()
        if line != last and not row.is_over:
            typer.echo(line)
            last = line

    _end(asyncio.run(_watch(load_settings(), task_id, timeout_s, tell)), as_json)


@app.command()
def cancel(
    task_id: Annotated[str, typer.Argument(help="The task.")],
    reason: Annotated[str, typer.Option(help="For the log.")] = "",
    as_json: Json = False,
) -> None:
    """End a task wherever it is; harmless when it is over."""
    from schemas.tasks import TaskCancel

    wish = codec.decode(TaskCancel, codec.dumps({"task_id": task_id, "cancel": True, "reason": reason}))
    asyncio.run(_send(load_settings(), task_id, codec.dumps(wish)))
    typer.echo(codec.dumps({"task_id": task_id}).decode() if as_json else f"asked to cancel {task_id}")


@app.command("list")
def list_tasks(
    state: Annotated[
        list[str] | None, typer.Option(help="Only tasks in this state; again for more.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
    as_json: Json = False,
) -> None:
    """The tasks that the log remembers: state, where they ran, how long they waited and took."""
    from tapestream.tasks_view import table

    rows = asyncio.run(_list(load_settings()))
    wanted = {name.upper() for name in state or ()}
    rows = [row for row in rows if not wanted or row.state in wanted][-limit:]
    if as_json:
        for row in rows:
            typer.echo(codec.dumps(row.as_dict()).decode())
        return
    from rich.console import Console

    Console().print(table(rows))


def id_of(key: str | None) -> str:
    """A new id; or one that follows from the idempotency key, so that its result is found under it."""
    if key is None:
        return uuid.uuid4().hex
    return f"key-{hashlib.blake2b(key.encode(), digest_size=12).hexdigest()}"


def read_data(text: str) -> dict[str, Any]:
    """The data of a request from the command line.

    Raises
    ------
    TaskError
        When it is no JSON object, or the file cannot be read.
    """
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text()
        except OSError as exc:
            raise TaskError(f"{text[1:]}: {exc.strerror}", "name a readable file", field="data") from exc
    try:
        value = codec.loads(text)
    except FrameError as exc:
        raise TaskError(f"data is {exc.problem}", "give a JSON object, quoted", field="data") from exc
    if not isinstance(value, dict):
        raise TaskError(f"data is {type(value).__name__}, no object", 'like {"value": 1}', field="data")
    return value


def _end(row: TaskRow, as_json: bool) -> None:
    """Show a task that is over; its failure is the command's."""
    typer.echo(_shown_result(row, as_json))
    if row.state != "SUCCEEDED":
        raise typer.Exit(NOT_SUCCEEDED)


def _shown_result(row: TaskRow, as_json: bool) -> str:
    if as_json:
        return codec.dumps(row.as_dict()).decode()
    lines = [row.line()]
    if row.result is not None and row.result.result is not None:
        lines.append(codec.dumps_pretty(row.result.result))
    if row.result is not None and row.result.result_path is not None:
        lines.append(f"result in {row.result.result_path} under the data folder")
    return "\n".join(lines)


async def _send(settings: Settings, task_id: str, payload: bytes) -> None:
    from streams import topics
    from streams.log_writer import log_writer

    async with log_writer(settings) as writer:
        await writer.write(topics.GPU_TASKS, task_id, [payload])


async def _submit_and_wait(settings: Settings, task_id: str, payload: bytes, timeout_s: float) -> TaskRow:
    from streams import topics
    from streams.log_writer import log_writer

    async with _tails(settings) as tails, log_writer(settings) as writer:
        await writer.write(topics.GPU_TASKS, task_id, [payload])
        return await _until_over(tails, task_id, timeout_s, lambda row: None)


async def _watch(
    settings: Settings, task_id: str, timeout_s: float, tell: Callable[[TaskRow], None]
) -> TaskRow:
    async with _tails(settings) as tails:
        return await _until_over(tails, task_id, timeout_s, tell)


@asynccontextmanager
async def _tails(settings: Settings) -> AsyncIterator[tuple[PartitionTail, ...]]:
    from streams import topics
    from streams.partition_tail import PartitionTail

    woken = asyncio.Event()

    def tail(base: str) -> PartitionTail:
        return PartitionTail(settings, base, otherwise="beginning", woken=woken)

    async with (
        tail(topics.GPU_TASKS) as tasks,
        tail(topics.ALLOCATIONS) as decisions,
        tail(topics.GPU_RESULTS) as results,
    ):
        yield tasks, decisions, results


async def _until_over(
    tails: tuple[PartitionTail, ...], task_id: str, timeout_s: float, tell: Callable[[TaskRow], None]
) -> TaskRow:
    from tapestream.tasks_view import TaskTable

    view = TaskTable(only=task_id)
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                tails[0].woken.clear()
                for tail in tails:
                    for message in tail.take():
                        view.take_in(message.topic, message.value, message.partition, message.offset)
                row = view.rows.get(task_id)
                if row is not None:
                    tell(row)
                    if row.is_over and row.result is not None:
                        return row
                await tails[0].woken.wait()
    except TimeoutError:
        state = view.rows[task_id].state if task_id in view.rows else "unknown here"
        raise TaskTimeout(
            f"{task_id} is {state} after {timeout_s:g} s",
            "see that `tapestream orchestrate` and `tapestream agent` run, or give a longer --timeout-s",
        ) from None


class TaskTimeout(TapestreamError):
    """A task was not over in the time that its sender waits."""

    exit_code = NO_ANSWER


async def _list(settings: Settings) -> list[TaskRow]:
    from tapestream.tasks_view import TaskTable

    view = TaskTable()
    async with _tails(settings) as tails:
        for tail in tails:
            left = {p: end for p, end in tail.ends.items() if tail.starts[p] < end}
            while left:
                tail.woken.clear()
                for message in tail.take():
                    view.take_in(message.topic, message.value, message.partition, message.offset)
                    if message.offset >= left.get(message.partition, 1 << 62) - 1:
                        left.pop(message.partition, None)
                if left:
                    await tail.woken.wait()
    return list(view.rows.values())
