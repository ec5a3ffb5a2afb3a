"""Out of memory, in whoever's words, leads to smaller attempts in fresh processes and then to the CPU."""

from __future__ import annotations

import queue
import sys
import threading
from types import SimpleNamespace

import pytest

from agents.tasks import limits
from agents.tasks.agent import MIB
from agents.tasks.assignment import Assignment
from agents.tasks.failures import failure_of, ran_out_of_memory
from agents.tasks.measure import oom_kills
from agents.tasks.protocol import Order
from agents.tasks.work import Bench
from orchestrator.ledger.retry import after
from orchestrator.ledger.state import Task
from schemas.errors import SettingsError, TaskError
from schemas.settings import Settings
from schemas.tasks import Failure, TaskRequest
from tests.agents.tasks.faulty_agents import OUT_OF_MEMORY, Fits, fake_error
from tests.agents.tasks.running import CPU, new_runner

GPU = ("GPU-1",)


def queued(memory_bytes: int, least_bytes: int) -> Task:
    """The task as the ledger has it; on the CPU it gets what it was cut to last."""
    return Task(
        task_id="t",
        task_type="fits",
        number=1,
        submitted_ns=0,
        memory_bytes=memory_bytes,
        min_memory_bytes=least_bytes,
        cpu_bytes=least_bytes,
        shrinks=4,
    )


def go_on(task: Task, code: str | None) -> tuple[str, ...]:
    """What the ledger makes of a failed attempt: the task's next one, and its devices."""
    retry = after(task, code)
    assert retry is not None, code
    task.lane, task.memory_bytes, task.shrinks = retry.lane, retry.memory_bytes, retry.shrinks
    return CPU if retry.lane == "cpu" else GPU


@pytest.mark.parametrize("kind", sorted(OUT_OF_MEMORY))
def test_every_librarys_out_of_memory_is_told(kind):
    exc = OUT_OF_MEMORY[kind]()
    assert failure_of(exc).code == "OUT_OF_MEMORY"
    wrapped = ValueError("the batch could not be computed")
    wrapped.__cause__ = exc
    assert ran_out_of_memory(wrapped)
    assert ran_out_of_memory(BaseExceptionGroup("several", [KeyError("k"), exc]))


@pytest.mark.parametrize(
    "exc",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        ValueError("out of memory"),
        fake_error("mylib", "OutOfMemoryError", "of its own kind"),
        fake_error("rmm._lib", "RMMError", "invalid device"),
        fake_error("numba.cuda.cudadrv.driver", "CudaAPIError", "[700] CUDA_ERROR_ILLEGAL_ADDRESS"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
    ],
    ids=str,
)
def test_other_errors_are_not_taken_for_out_of_memory(exc):
    assert failure_of(exc).code == "TASK_ERROR"


def test_an_unrelated_error_seen_while_memory_ran_out_is_not_out_of_memory():
    bug = KeyError("in the handler")
    bug.__context__ = MemoryError()  # seen while it was handled, not its cause
    assert not ran_out_of_memory(bug)


def test_an_agents_own_refusal_and_our_errors_keep_their_words():
    assert failure_of(TaskError("p", "r", code="TOO_LARGE", field="data.x")) == Failure(
        code="TOO_LARGE", problem="p", remedy="r", field="data.x"
    )
    assert failure_of(SettingsError("p", "r")) == Failure(code="TASK_ERROR", problem="p", remedy="r")


class Silent:
    """A connection that nobody listens to."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.work = None
        self.told: queue.SimpleQueue = queue.SimpleQueue()

    def tell(self, head, body: bytes = b"") -> None:
        self.told.put(head)

    def report(self, fraction: float, stage: str) -> None:
        pass


def do_until_it_ends(bench: Bench, kind: str, fits_bytes: int) -> tuple[list[tuple], bytes]:
    """What the services do: attempt, decide, attempt; without processes. (device, MiB, success) of each."""
    task, devices = queued(Fits.memory_bytes, Fits.min_memory_bytes), GPU
    history: list[tuple] = []
    while True:
        order = Order(
            agent="fits",
            task_id="t",
            task_type="fits",
            attempt=len(history) + 1,
            data={"kind": kind, "fits_bytes": fits_bytes},
            devices=devices,
            memory_bytes=task.memory_bytes,
            inline_bytes=10_000,
        )
        done, body = bench.do(order, Silent())
        history.append((devices[0], task.memory_bytes // MIB, done.failure is None))
        if done.failure is None:
            return history, body
        devices = go_on(task, done.failure.code)


@pytest.mark.parametrize("kind", sorted(OUT_OF_MEMORY))
def test_each_kind_leads_to_smaller_attempts_and_then_to_the_cpu(tmp_path, kind):
    bench = Bench(Settings(data_dir=tmp_path), load=lambda address: Fits)
    smaller = [("GPU-1", 256, False), ("GPU-1", 128, True)]
    assert do_until_it_ends(bench, kind, 128 * MIB)[0] == smaller
    exhausted = [("GPU-1", size, False) for size in (256, 128, 64, 32)]
    assert do_until_it_ends(bench, kind, 0)[0] == [*exhausted, ("CPU-here", 32, True)]


async def test_a_task_that_the_kernel_kills_is_tried_smaller_in_fresh_processes_and_then_on_the_cpu(tmp_path):
    kills = iter(range(100))  # a kill is counted during every attempt
    request = TaskRequest(
        task_id="t", task_type="fits", data={"kind": "killed", "fits_bytes": 0}, min_memory=128 * MIB
    )
    task, devices = queued(256 * MIB, 128 * MIB), GPU
    outcomes = []
    async with new_runner(tmp_path, oom_kills=lambda: next(kills)) as runner:
        while not outcomes or outcomes[-1].failure is not None:
            attempt = Assignment(request, len(outcomes) + 1, devices, task.memory_bytes)
            outcomes.append(await runner.run(attempt))
            if outcomes[-1].failure is not None:
                devices = go_on(task, outcomes[-1].failure.code)
    tries = [(o.attempt.gpu_uuids[0], o.attempt.memory_bytes // MIB, o.state) for o in outcomes]
    assert tries == [("GPU-1", 256, "FAILED"), ("GPU-1", 128, "FAILED"), ("CPU-here", 128, "SUCCEEDED")]
    assert len({outcome.child.pid for outcome in outcomes}) == 3
    assert outcomes[-1].result["on_cpu"] is True


class FakeCuda:
    """torch.cuda of a machine with two devices of 1,000 and 500 bytes."""

    def __init__(self) -> None:
        self.fractions: dict[int, float] = {}

    def get_device_properties(self, ordinal: int) -> SimpleNamespace:
        return SimpleNamespace(total_memory=(1_000, 500)[ordinal])

    def set_per_process_memory_fraction(self, fraction: float, ordinal: int) -> None:
        self.fractions[ordinal] = fraction


def test_torch_is_held_to_the_grant_on_each_device_and_never_to_more_than_all():
    cuda = FakeCuda()
    limits.limit_torch(SimpleNamespace(cuda=cuda), 600, range(2))
    assert cuda.fractions == {0: 0.6, 1: 1.0}


class FakeRmm:
    """rmm with a resource a device."""

    def __init__(self) -> None:
        self.resources = {0: "pool-0", 1: "pool-1"}
        self.mr = SimpleNamespace(
            get_per_device_resource=self.resources.__getitem__,
            set_per_device_resource=self.resources.__setitem__,
            LimitingResourceAdaptor=lambda pool, *, allocation_limit: (pool, allocation_limit),
        )


def test_rmm_is_held_to_the_grant_and_what_was_there_comes_back(monkeypatch):
    rmm = FakeRmm()
    monkeypatch.setitem(sys.modules, "rmm", rmm)
    cuda = FakeCuda()
    cuda.device_count = lambda: 2
    monkeypatch.setattr(limits.importlib, "import_module", lambda name: SimpleNamespace(cuda=cuda))
    with limits.memory_limit(on_cpu=False, memory_bytes=250):
        assert rmm.resources == {0: ("pool-0", 250), 1: ("pool-1", 250)}
    assert rmm.resources == {0: "pool-0", 1: "pool-1"}
    assert cuda.fractions == {0: 0.25, 1: 0.5}


@pytest.mark.parametrize(
    ("group", "file", "content", "count"),
    [
        ("4:memory:/task\n0::/", "memory/task/memory.oom_control", "under_oom 0\noom_kill 4\n", 4),
        ("0::/user/task", "user/task/memory.events", "low 0\noom 9\noom_kill 2\noom_group_kill 0\n", 2),
        ("0::/", "", "", 7),
    ],
)
def test_kills_are_counted_in_our_control_group_else_on_the_machine(tmp_path, group, file, content, count):
    proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "self/cgroup").write_text(group)
    (proc / "vmstat").write_text("nr_free_pages 12\noom_kill 7\n")
    if file:
        (cgroups / file).parent.mkdir(parents=True)
        (cgroups / file).write_text(content)
    assert oom_kills(proc, cgroups) == count


def test_where_nothing_counts_kills_that_is_said(tmp_path):
    assert oom_kills(tmp_path, tmp_path) is None
