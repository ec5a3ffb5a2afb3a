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
    ├── AccountingError        the counts of a run do not balance
    └── ChildError             a process that `up` or `demo` keeps does not stay up

Third-party errors are mapped at the boundary where they arise, ``from exc``.
Expected trouble (a late tick, an absent GPU) is a value, never one of these.
"""

from __future__ import annotations


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

    def __reduce__(self) -> tuple[type[TapestreamError], tuple[str, str]]:
        return type(self), (self.problem, self.remedy)


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


class CheckpointError(TapestreamError):
    """A checkpoint is damaged or of another layout."""

    exit_code = 6


class DataLossError(TapestreamError):
    """The log starts later than the state says that it should."""

    exit_code = 6


class VerifyError(TapestreamError):
    """A recomputed output differs from the one on the log."""

    exit_code = 7


class AccountingError(TapestreamError):
    """The counts of a run do not balance, or it made nothing."""

    exit_code = 8


class ChildError(TapestreamError):
    """A process that ``up`` or ``demo`` keeps does not start, or ends again and again."""

    exit_code = 9
