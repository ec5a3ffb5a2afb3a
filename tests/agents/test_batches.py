"""The line of batches of a device: order, what is handed over together, and what is said when memory ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest

from agents.configuration import partition_config
from agents.frames import Backend
from agents.frames.host import HostTable
from agents.kernels.cuda_plan import Columns
from agents.kernels.result import FrameResult
from agents.kernels.run import run
from agents.kernels.state import PartitionState
from agents.messages import Message
from agents.partition import Partition
from schemas.errors import DeviceError
from schemas.settings import Settings
from schemas.ticks import Sequences, Ticks
from tests.agents.test_partition import messages_of, new_partition, random_ticks

pytestmark = pytest.mark.gpu_path


class Computed(NamedTuple):
    result: FrameResult
    watermark_ns: int
    columns: dict[str, Any]


class FakeDevice:
    """A device that is the CPU: computes a batch when it is collected, and remembers what it was handed."""

    def __init__(self, state: PartitionState, memory: int) -> None:
        self._state = state
        self._memory = memory
        self._batches: list[Sequence[Columns]] = []
        self.log: list[tuple[str, list[int]]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)

    @property
    def in_flight(self) -> int:
        return len(self._batches)

    def submit(self, messages: Sequence[Columns]) -> None:
        if sum(map(len, messages)) > self._memory:
            raise MemoryError("std::bad_alloc")
        self.log.append(("submit", [len(message) for message in messages]))
        self._batches.append(messages)

    def collect(self) -> list[Computed]:
        batch = self._batches.pop(0)
        self.log.append(("collect", [len(message) for message in batch]))
        return [self._compute(message) for message in batch]

    def _compute(self, m: Columns) -> Computed:
        r = run(
            self._state,
            m.ts_event,
            m.symbol_id,
            m.kind,
            m.codes,
            *m.prices_and_sizes,
            dense_quotes=m.dense_quotes,
            dense_trades=m.dense_trades,
            wm_before=m.wm_before,
            final_wm=m.final_wm,
        )
        counts = [r.n_rows, r.n_bars, r.n_events, r.n_processed, r.n_late, r.n_duplicate, r.n_dead]
        by_tick = (r.classes, r.event_codes, r.event_rows, r.event_a, r.event_b)
        matrices = (r.feature_ints, r.features, r.bar_ints, r.bars)
        kept = FrameResult(
            len(m), counts, tuple(a.copy() for a in by_tick), tuple(a.copy() for a in matrices)
        )
        return Computed(kept, self._state.watermark_ns, {})


def on_device(batch_ticks: int = 100, memory: int = 10**9, **settings: Any) -> tuple[Partition, FakeDevice]:
    made: list[FakeDevice] = []

    def new_kernel(state: PartitionState) -> FakeDevice:
        made.append(FakeDevice(state, memory))
        return made[-1]

    move: Callable[..., FrameResult] = run
    backend = Backend("fake", new_kernel, move, HostTable, batch_ticks)
    chosen = Settings(partitions=1, windows_ms=(100, 1000), **settings)
    return Partition(partition_config(chosen, backend=backend)(0)), made[0]


def frames(ticks: Ticks, size: int) -> list[Message]:
    return messages_of(ticks, list(range(size, len(ticks), size)))


def test_a_message_alone_is_computed_at_once() -> None:
    partition, device = on_device()
    (message,) = frames(random_ticks(30, 0), 30)
    assert [offset for offset, _ in partition.accept(message, 0, more=False)] == [0]
    assert device.log == [("submit", [30]), ("collect", [30])]


def test_messages_that_wait_are_handed_over_together_and_two_batches_overlap() -> None:
    partition, device = on_device(batch_ticks=100)
    done = [
        [offset for offset, _ in partition.accept(message, 0, more=message.offset < 6)]
        for message in frames(random_ticks(350, 0), 50)
    ]
    assert done == [[], [], [], [0, 1], [], [2, 3], [4, 5, 6]]
    assert device.log == [
        ("submit", [50, 50]),
        ("submit", [50, 50]),
        ("collect", [50, 50]),
        ("submit", [50, 50]),
        ("collect", [50, 50]),
        ("submit", [50]),
        ("collect", [50, 50]),
        ("collect", [50]),
    ]


def test_outputs_are_those_of_messages_computed_one_by_one() -> None:
    every = frames(random_ticks(1500, 0), 40)
    cpu, (partition, _) = new_partition(), on_device(batch_ticks=130)
    expected = [(m.offset, cpu.process(m)) for m in every]
    found = [done for m in every for done in partition.accept(m, 0, more=m.offset < len(every) - 1)]
    assert found == expected
    assert partition.snapshot() == cpu.snapshot()


def test_what_promises_something_else_of_its_sequences_is_handed_over_apart() -> None:
    ticks = random_ticks(60, 0)
    loose = Ticks(ticks.symbols, ticks.columns, Sequences())
    partition, device = on_device()
    first, second = messages_of(ticks, [])[0], messages_of(loose, [])[0]._replace(offset=1)
    done = partition.accept(first, 0, more=True) + partition.accept(second, 0, more=False)
    assert [offset for offset, _ in done] == [0, 1]
    assert [batch for what, batch in device.log if what == "submit"] == [[60], [60]]


def test_a_poisoned_message_keeps_its_place_in_the_line() -> None:
    partition, _ = on_device()
    good, other = frames(random_ticks(60, 0), 30)
    line = [good, Message(1, 0, [], b"no frame"), other._replace(offset=2)]
    done = [item for m in line for item in partition.accept(m, 0, more=m.offset < 2)]
    dead = [(offset, sum(o.topic == "dead.letters" for o in outputs)) for offset, outputs in done]
    assert dead == [(0, 0), (1, 1), (2, 0)]


def test_draining_finishes_everything_so_that_a_checkpoint_holds_it() -> None:
    partition, device = on_device()
    every = frames(random_ticks(240, 0), 40)
    early = [offset for m in every for offset, _ in partition.accept(m, 0, more=True)]
    assert early + [offset for offset, _ in partition.drain()] == list(range(6))
    assert (device.in_flight, partition.drain()) == (0, [])


def test_too_little_memory_is_one_line_with_what_was_asked_for() -> None:
    partition, _ = on_device(memory=20)
    (message,) = frames(random_ticks(30, 0), 30)
    with pytest.raises(DeviceError) as caught:
        partition.process(message)
    assert str(caught.value) == (
        "the GPU's memory does not suffice for 3 symbols and 30 ticks at once "
        "(give the worker more with --memory-limit, or use more partitions and workers)"
    )
