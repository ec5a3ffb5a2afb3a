"""``pattern_recognition``: shapes, triangles, levels and templates in the bars of symbols."""

from __future__ import annotations

import difflib
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from agents.tasks import needs
from agents.tasks.agent import MIB, GPUAgent, Task
from agents.tasks.analytics.bars import BarsData, in_the_request, read_bars
from agents.tasks.results import FOLDER, TaskRows, inside
from schemas.errors import TaskError
from streams.files import replace_file

if TYPE_CHECKING:
    from agents.models.bars import Bars
    from agents.tasks.analytics.findings import Finding

USUAL_BARS = 5_000
PRICES = ("open", "high", "low", "close")
GROUPS = ("shapes", "triangles", "levels")


class _Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Template(_Options):
    """A shape of one's own, to be found by MASS; give one of ``max_distance`` and ``top``."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    points: Annotated[list[float], Field(min_length=3)]
    max_distance: float | None = None
    top: int | None = None


class LevelOptions(_Options):
    """As :func:`agents.patterns.levels` takes them."""

    tolerance: float = 0.005
    touches: int = 3
    width: int = 5
    half_life: float = 250.0


class TriangleOptions(_Options):
    """As :func:`agents.patterns.triangles` takes them."""

    width: int = 3
    least: int = 5
    most: int = 8
    touch: float = 0.005
    flat: float = 0.15
    convergence: float = 0.7


class PatternRecognitionData(BarsData):
    """Bars, and what is to be found in them."""

    patterns: Annotated[
        list[str], Field(max_length=32, description="shapes, triangles, levels, or single shapes such as HS")
    ] = Field(default=list(GROUPS))
    templates: Annotated[list[Template], Field(max_length=32)] = Field(default_factory=list)
    levels: LevelOptions = LevelOptions()
    triangles: TriangleOptions = TriangleOptions()
    plots: Annotated[int, Field(ge=0, le=50, description="pictures of the so many found last")] = 0


class PatternRecognition(GPUAgent):
    """Finds chart patterns, each with the bar at which it is known; regressions where it was granted."""

    task_type = "pattern_recognition"
    Data = PatternRecognitionData
    memory_bytes = needs.PATTERNS.memory_bytes
    min_memory_bytes = 256 * MIB

    def __init__(self) -> None:
        import agents.models.given_bars
        import agents.patterns.plot
        import agents.tasks.analytics.findings  # noqa: F401 - not the task's memory

    async def process_task(self, task: Task) -> TaskRows:
        """A row a finding, by symbol and by the bar at which it is known.

        Raises
        ------
        TaskError
            For an unknown pattern, an option out of its bounds, and bars that cannot be or are too few.
        """
        import pyarrow as pa

        from agents.tasks.analytics.findings import ROWS, row_of

        data: PatternRecognitionData = task.data
        kinds = _kinds(data.patterns)
        series = await read_bars(task, 1, USUAL_BARS)
        found: list[tuple[Bars, Finding, str]] = []
        for done, bars in enumerate(series):
            task.progress(0.2 + 0.7 * done / len(series), "searching")
            own = [(bars, one, name) for one, name in _search(bars, data, kinds, task.torch_devices[0])]
            found += sorted(own, key=lambda row: row[1].known_at)
        rows = pa.Table.from_pylist([row_of(*one) for one in found], schema=ROWS)
        return TaskRows(rows, {"n_symbols": len(series), "plots": _plots(task, found, data.plots)})


def _kinds(patterns: list[str]) -> list[str]:
    """The single shapes that are asked for."""
    from agents.kernels.patterns.shapes import KINDS

    for index, name in enumerate(patterns):
        if name not in (*KINDS, *GROUPS):
            near = difflib.get_close_matches(name, (*GROUPS, *KINDS), 2, 0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"one of {', '.join((*GROUPS, *KINDS))}"
            raise TaskError(f"{name[:40]}: there is no such pattern", hint, field=f"data.patterns[{index}]")
    return [kind for kind in KINDS if kind in patterns or "shapes" in patterns]


def _search(
    bars: Bars, data: PatternRecognitionData, kinds: list[str], device: str
) -> Iterator[tuple[Finding, str]]:
    """Everything of one symbol; the name is a template's."""
    from agents import patterns

    columns = {name: getattr(bars, name) for name in PRICES}
    where = f"{data.source}.{bars.symbol}"
    with in_the_request(where):
        if kinds:
            yield from ((shape, "") for shape in patterns.shapes(columns, kinds, device=device))
    with in_the_request(where, "triangles"):
        if "triangles" in data.patterns:
            yield from ((one, "") for one in patterns.triangles(columns, **data.triangles.model_dump()))
    with in_the_request(where, "levels"):
        if "levels" in data.patterns:
            yield from ((one, "") for one in patterns.levels(columns, **data.levels.model_dump()))
    for index, template in enumerate(data.templates):
        limits = template.model_dump(include={"max_distance", "top"})
        with in_the_request(where, f"templates[{index}]"):
            yield from ((one, template.name) for one in patterns.matches(columns, template.points, **limits))


def _plots(task: Task, found: list[tuple[Bars, Finding, str]], number: int) -> list[dict[str, Any]]:
    """Pictures of the findings known last, as files beside the results."""
    from agents.patterns.plot import plot

    drawn = []
    for index, (bars, one, name) in enumerate(sorted(found, key=_known_ns)[len(found) - number :]):
        task.progress(0.9 + 0.1 * index / number, "drawing")
        picture = io.BytesIO()
        columns = {price: getattr(bars, price) for price in PRICES}
        plot(columns, one, title=" ".join((bars.symbol, name))).savefig(picture, format="png")
        path = inside(task.data_dir, f"{FOLDER}/{task.task_id}.{task.attempt}.{index}.png", field="task_id")
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, picture.getvalue())
        where = path.relative_to(task.data_dir.resolve()).as_posix()
        drawn.append({"path": where, "symbol": bars.symbol, "known_at": one.known_at})
    return drawn


def _known_ns(row: tuple[Bars, Finding, str]) -> int:
    return int(row[0].ts_ns[min(row[1].known_at, len(row[0]) - 1)])
