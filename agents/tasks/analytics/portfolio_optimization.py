"""``portfolio_optimization``: weights with a proven gap, from returns or from bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field

from agents.tasks import needs
from agents.tasks.agent import MIB, GPUAgent, Task
from agents.tasks.analytics.bars import BarsData, in_the_request, read_bars
from schemas.errors import FieldError
from schemas.portfolio import PortfolioProblem

if TYPE_CHECKING:
    from agents.models.bars import Bars

LEAST_BARS = 4
USUAL_BARS = 1_000


class PortfolioOptimizationData(BarsData, PortfolioProblem):
    """A problem, and the history: returns, or bars of the assets."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    assets: Annotated[list[str] | None, Field(description="names of the columns of returns")] = None
    returns: Annotated[
        list[list[float]] | None, Field(description="a row a period, oldest first; fractions, not percent")
    ] = None

    @property
    def sources(self) -> list[str]:
        """Returns are one more."""
        return [*super().sources, *(["returns"] if self.returns is not None else [])]


class PortfolioOptimization(GPUAgent):
    """Optimises a portfolio; products with scenarios are computed where it was granted."""

    task_type = "portfolio_optimization"
    Data = PortfolioOptimizationData
    memory_bytes = needs.PORTFOLIO.memory_bytes
    min_memory_bytes = 256 * MIB

    def __init__(self) -> None:
        import agents.models.given_bars
        import agents.portfolio  # noqa: F401 - not the task's memory

    async def process_task(self, task: Task) -> Any:
        """Weights, objective, proven gap and risk figures.

        Raises
        ------
        TaskError
            With the field: returns or bars that cannot be or are too few, a singular covariance, constraints
            that contradict one another, an unknown asset, a gap above the tolerance.
        """
        from agents.portfolio import optimise

        data: PortfolioOptimizationData = task.data
        request = data.model_dump(include=set(PortfolioProblem.model_fields), exclude_unset=True)
        if data.source == "returns":
            request |= {"assets": data.assets, "returns": data.returns}
        else:
            series = await read_bars(task, LEAST_BARS, USUAL_BARS)
            with in_the_request():
                returns = _returns(series, data.source)
            request |= {"assets": [bars.symbol for bars in series], "returns": returns}
        task.progress(0.2, "optimising")
        with in_the_request():
            return optimise(request, task.torch_devices[0])


def _returns(series: list[Bars], source: str) -> list[list[float]]:
    """Simple returns from close to close at the times that all symbols have a bar."""
    from functools import reduce

    import numpy as np

    times = reduce(np.intersect1d, [bars.ts_ns for bars in series])
    if len(times) < LEAST_BARS:
        fewest = min(series, key=len)
        raise FieldError(
            source,
            f"the symbols have {len(times)} times of bars in common, {LEAST_BARS} are needed",
            f"leave out those with few ({fewest.symbol} has {len(fewest)}), or take longer bars",
        )
    closes = np.stack([bars.close[np.searchsorted(bars.ts_ns, times)] for bars in series], axis=1)
    returns: list[list[float]] = (closes[1:] / closes[:-1] - 1.0).tolist()
    return returns
