"""Every error that a user of Tapestream can meet.

::

    TapestreamError            one line: coordinates, what is wrong; a remedy
    ├── SettingsError          an option or an environment variable is unusable
    ├── BrokerError            the log cannot be reached, started or used
    │   ├── BrokerUnavailable      nobody answers; waiting may help
    │   ├── BrokerStartError       the embedded broker did not come up
    │   └── DeliveryError          the broker refused or lost a record
    ├── TopicError             a topic differs from the table of topics
    ├── FrameError             a message is not a tick frame that we can read
    ├── TickError              one tick of an otherwise good message is unusable
    ├── SourceError            a recorded file cannot be read, or not as what it is
    ├── RecordingError         a recording cannot be written, or not in that folder
    ├── CheckpointError        a checkpoint is damaged or of another layout
    ├── DataLossError          the log starts later than the state says it should
    ├── VerifyError            a recomputed output differs from the log's
    ├── FieldError             something that was given cannot be used, and which part of it
    │   ├── ModelError             a model, its training or the bars given to it are unusable
    │   └── PortfolioError         a portfolio cannot be computed from what was given
    │       ├── InfeasibleError        constraints contradict one another
    │       └── GapError               the solution is not proven to be good enough
    ├── AccountingError        the counts of a run do not balance
    ├── TaskError              a task cannot be done as it was asked for
    ├── AnalysisError          what was asked of an indicator or a pattern cannot be computed
    │   ├── BarsError              the bars: too few, NaN in the middle, high below low
    │   └── ParameterError         an unknown name, or a parameter out of bounds
    ├── DeviceError            a GPU cannot go on with what it was given
    ├── LedgerError            the allocation log cannot be folded, or does not follow from itself
    └── ChildError             a process that `up` or `demo` keeps does not stay up

Third-party errors are mapped at the boundary where they arise, ``from exc``.
Expected trouble (a late tick, an absent GPU) is a value, never one of these.
"""

from __future__ import annotations

from typing import Any


class TapestreamError(Exception):
    """Base of all errors; prints as one line.

    Parameters
    ----------
    problem
        What is wrong, with coordinates: ``market.ticks[3]@81724 row 7: price must be > 0, was -1.0``.
    remedy
        What the reader can do about it; empty when there is nothing to do.
    """

    exit_code = 1

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem} ({self.remedy})" if self.remedy else self.problem

    def __reduce__(self) -> tuple[type[TapestreamError], tuple[Any, ...]]:
        return type(self), (self.problem, self.remedy)


class FieldError(TapestreamError):
    """Something that was given cannot be used, and which part of it.

    Parameters
    ----------
    field
        What is at fault, as the caller named it: ``bars.AAPL.high[17]``, ``returns[17, 'AAPL']``.
    problem
        What is wrong with it.
    remedy
        What to do.
    """

    def __init__(self, field: str, problem: str, remedy: str = "") -> None:
        super().__init__(f"{field}: {problem}", remedy)
        self.field = field
        self._reason = problem

    def __reduce__(self) -> tuple[type[TapestreamError], tuple[Any, ...]]:
        return type(self), (self.field, self._reason, self.remedy)


class SettingsError(TapestreamError):
    """An option or an environment variable is unusable."""

    exit_code = 2


class BrokerError(TapestreamError):
    """The log cannot be reached, started or used."""

    exit_code = 3


class BrokerUnavailable(BrokerError):
    """Nobody answers at the broker's address; waiting may help."""


class BrokerStartError(BrokerError):
    """The embedded broker did not come up."""


class DeliveryError(BrokerError):
    """The broker refused a record, or its acknowledgement never came."""


class TopicError(TapestreamError):
    """A topic is absent or differs from the table of topics."""

    exit_code = 4


class FrameError(TapestreamError):
    """A message is not a tick frame that this version can read."""

    exit_code = 5


class TickError(TapestreamError):
    """One tick of an otherwise good message is unusable."""

    exit_code = 5


class SourceError(TapestreamError):
    """A recorded file cannot be read, or not as what it claims to be."""

    exit_code = 5


class RecordingError(TapestreamError):
    """A recording cannot be written; what is finished of it is whole."""

    exit_code = 5


class ModelError(FieldError):
    """A model, its files or the bars given to it are unusable."""

    exit_code = 5


class CheckpointError(TapestreamError):
    """A checkpoint is damaged or of another layout."""

    exit_code = 6


class DataLossError(TapestreamError):
    """The log starts later than the state says that it should."""

    exit_code = 6


class VerifyError(TapestreamError):
    """A recomputed output differs from the one on the log."""

    exit_code = 7


class PortfolioError(FieldError):
    """A portfolio cannot be computed from what was given."""

    exit_code = 5


class InfeasibleError(PortfolioError):
    """Constraints contradict one another; none of ``conflict`` could be left out."""

    def __init__(self, conflict: tuple[str, ...]) -> None:
        super().__init__(
            "constraints", f"{' and '.join(conflict)} contradict one another", "relax or drop one of them"
        )
        self.conflict = conflict

    def __reduce__(self) -> tuple[type[TapestreamError], tuple[Any, ...]]:
        return type(self), (self.conflict,)


class GapError(PortfolioError):
    """The best solution found is not proven to be within the tolerance, so it is none."""


class AccountingError(TapestreamError):
    """The counts of a run do not balance, or it made nothing."""

    exit_code = 8


class LedgerError(TapestreamError):
    """The allocation log cannot be read, or a decision on it does not follow from it."""

    exit_code = 7


class TaskError(TapestreamError):
    """A task cannot be done as it was asked for; agents raise it to say so.

    Parameters
    ----------
    code
        A code of :data:`schemas.tasks.FailureCode`.
    field
        Path of the request's field at fault: ``data.symbols.0``.
    """

    exit_code = 5

    def __init__(
        self, problem: str, remedy: str = "", code: str = "BAD_REQUEST", field: str | None = None
    ) -> None:
        super().__init__(problem, remedy)
        self.code = code
        self.field = field

    def __reduce__(self) -> tuple[type[TaskError], tuple[str, str, str, str | None]]:
        return type(self), (self.problem, self.remedy, self.code, self.field)


class AnalysisError(TapestreamError):
    """What was asked of an indicator or a pattern cannot be computed."""

    exit_code = 5


class BarsError(AnalysisError):
    """Bars cannot be computed on: too few, NaN in the middle, high below low, a column that is not there."""


class ParameterError(AnalysisError):
    """There is no indicator or pattern of that name, or a parameter is out of its bounds."""

    exit_code = 2


class DeviceError(TapestreamError):
    """A GPU cannot go on with what it was given; most often its memory does not suffice."""

    exit_code = 10


class ChildError(TapestreamError):
    """A process that ``up`` or ``demo`` keeps does not start, or ends again and again."""

    exit_code = 9
