"""Whatever becomes of a task, its outcome says so, and the slot lives on."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from agents.tasks.agent import MIB
from agents.tasks.assignment import ChildIdentity
from agents.tasks.measure import process_memory, reset_peak
from agents.tasks.runner import Runner
from schemas.settings import Settings
from streams.process_name import started_ticks
from tests.agents.tasks.running import CPU, assignment, cancelled_at_work, new_runner
from tests.tapestream.process import gone
from tests.waiting import until


def file_drafts(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.endswith(".draft")]


async def test_a_task_gives_its_result_and_says_where_it_ran(tmp_path):
    times = iter((1_000, 5_000))
    seen: list[ChildIdentity] = []
    async with new_runner(tmp_path, now_ns=lambda: next(times)) as runner:
        outcome = await runner.run(
            assignment("echo", value=[1, None, "é"], lease="lease-7"), started=seen.append
        )
        (child,) = runner.children
    pid = outcome.result.pop("pid")
    assert outcome.result == {
        "value": [1, None, "é"],
        "devices": ["CPU-here"],
        "memory_bytes": 256 * MIB,
        "attempt": 1,
        "cuda_visible_devices": "",
    }
    assert (outcome.state, outcome.failure, outcome.result_path, outcome.child_kept) == (
        "SUCCEEDED",
        None,
        None,
        True,
    )
    assert (outcome.attempt.started_ns, outcome.attempt.ended_ns) == (1_000, 5_000)
    assert outcome.attempt.peak_memory_bytes is not None
    assert outcome.child == seen[0] == ChildIdentity(pid, child.started_ticks, "lease-7")
    assert (child.pid, child.started_ticks > 0) == (pid, True)


async def test_a_child_is_used_again_for_the_same_devices_and_no_others(tmp_path):
    gpu = ("GPU-1", "GPU-2")
    async with new_runner(tmp_path) as runner:
        first = await runner.run(assignment("echo"))
        again = await runner.run(assignment("echo"))
        other = await runner.run(assignment("echo", devices=("CPU-other",)))
        # The echo agent loads no torch, but limiting a GPU task does; here torch sees no GPU.
        on_gpus = await runner.run(assignment("echo", devices=gpu))
    assert again.result["pid"] == first.result["pid"]
    assert other.result["pid"] != first.result["pid"]
    assert on_gpus.result["cuda_visible_devices"] == "GPU-1,GPU-2"


async def test_tasks_run_at_once_in_children_of_their_own(tmp_path):
    async with new_runner(tmp_path) as runner:
        outcomes = await asyncio.gather(*(runner.run(assignment("echo", task_id=f"t{n}")) for n in range(3)))
        assert len({outcome.result["pid"] for outcome in outcomes}) == len(runner.children) == 3


async def test_a_gang_is_one_process_that_has_every_device(tmp_path):
    async with new_runner(tmp_path) as runner:
        outcome = await runner.run(assignment("splits", devices=("CPU-a", "CPU-b"), memory_bytes=1024 * MIB))
    assert outcome.failure is None
    assert outcome.result["devices"] == ["cpu", "cpu"]
    assert outcome.result["worst"] < 1e-14


async def test_bad_data_is_refused_with_the_path_of_the_field(tmp_path):
    async with new_runner(tmp_path) as runner:
        misspelt = await runner.run(assignment("sleep", seconds=1, maners="await"))
        wrong = await runner.run(assignment("sleep", seconds=-1))
        unknown = await runner.run(assignment("nap"))
        refused = await runner.run(assignment("refuses"))
    known = ", ".join(sorted(runner.agents))
    assert [outcome.failure.model_dump() for outcome in (misspelt, wrong, unknown, refused)] == [
        {
            "code": "BAD_REQUEST",
            "problem": "data.maners: Extra inputs are not permitted",
            "remedy": "mend data.maners; sleep takes seconds, manners?",
            "field": "data.maners",
        },
        {
            "code": "BAD_REQUEST",
            "problem": "data.seconds: Input should be greater than or equal to 0, was '-1'",
            "remedy": "mend data.seconds; sleep takes seconds, manners?",
            "field": "data.seconds",
        },
        {
            "code": "UNKNOWN_TASK_TYPE",
            "problem": "nobody here does 'nap'",
            "remedy": f"one of {known}; or start the agent with --agent module:Class",
            "field": "task_type",
        },
        {
            "code": "BAD_REQUEST",
            "problem": "data.day: 2026-01-03 is a Saturday",
            "remedy": "name a trading day",
            "field": "data.day",
        },
    ]
    assert [misspelt.child_kept, unknown.child] == [True, None]


CRASHES = {
    ("raise", 1): ("TASK_ERROR", "RuntimeError: it was told to (exercise.py:"),
    ("exit", 7): ("CRASHED", "its process died: it ended with exit code 7"),
    ("exit", 0): ("CRASHED", "its process died: it ended with exit code 0"),
    ("signal", 9): ("CRASHED", "its process died: it was killed by SIGKILL, not for want of memory"),
    ("signal", 6): (
        "CRASHED",
        "its process died: it was killed by SIGABRT; its last words: Fatal Python error",
    ),
    ("signal", 15): ("CRASHED", "its process died: it was ended by a SIGTERM that was not ours"),
    ("segfault", 1): ("CRASHED", "its process died: it was killed by SIGSEGV; its last words: Fatal Python"),
    ("out_of_memory", 1): ("OUT_OF_MEMORY", "MemoryError (exercise.py:"),
}


async def test_every_way_to_crash_is_a_failure_of_that_task_alone(tmp_path):
    async with new_runner(tmp_path, oom_kills=lambda: 3) as runner:
        beside = asyncio.create_task(runner.run(assignment("sleep", task_id="beside", seconds=4)))
        for (how, number), (code, problem) in CRASHES.items():
            outcome = await runner.run(assignment("crash", how=how, number=number))
            failure = outcome.failure
            assert (outcome.state, failure.code, failure.problem[: len(problem)]) == ("FAILED", code, problem)
            assert (await runner.run(assignment("echo", value=how))).result["value"] == how
        assert (await beside).state == "SUCCEEDED"


async def test_what_an_earlier_task_wrote_is_not_the_last_word_of_a_crash(tmp_path):
    async with new_runner(tmp_path) as runner:
        await runner.run(assignment("crash", how="raise"))
        outcome = await runner.run(assignment("crash", how="exit", number=1))
    assert outcome.failure.problem == "its process died: it ended with exit code 1"
    assert "RuntimeError: it was told to" in (tmp_path / "logs" / "task-slot-0.log").read_text()


@pytest.mark.parametrize("then", ["live", "close"])
async def test_a_child_that_cannot_be_understood_is_ended(tmp_path, then):
    async with new_runner(tmp_path) as runner:
        outcome = await runner.run(assignment("babble", then=then))
        assert (outcome.failure.code, runner.children) == ("CRASHED", [])


async def test_closing_a_runner_ends_what_runs_and_what_starts(tmp_path):
    runner = new_runner(tmp_path)
    async with runner:
        at_work, seen = asyncio.Event(), []
        running = asyncio.create_task(
            runner.run(assignment("sleep", seconds=1000), progress=lambda told: at_work.set())
        )
        await at_work.wait()
        starting = asyncio.create_task(runner.run(assignment("echo"), started=seen.append))
        await asyncio.sleep(0)  # it has begun to start its process
    outcomes = await asyncio.gather(running, starting)
    assert [outcome.failure.code for outcome in outcomes] == ["CRASHED", "CRASHED"]
    assert outcomes[1].failure.problem == "the runner was closed while its process started"
    assert (seen, runner.children) == ([], [])


async def test_sys_exit_fails_the_task_and_not_the_child(tmp_path):
    async with new_runner(tmp_path) as runner:
        outcome = await runner.run(assignment("leaves"))
    assert (outcome.failure.code, outcome.failure.problem) == ("TASK_ERROR", "the agent called sys.exit(3)")
    assert outcome.child_kept


async def test_a_kill_that_the_kernel_counted_is_out_of_memory(tmp_path):
    counts = iter((3, 4))
    async with new_runner(tmp_path, oom_kills=lambda: next(counts)) as runner:
        outcome = await runner.run(assignment("crash", how="signal", number=9))
    assert (outcome.failure.code, outcome.failure.problem) == (
        "OUT_OF_MEMORY",
        "the kernel killed its process for want of memory",
    )


@pytest.mark.parametrize(
    ("manners", "how", "kept"),
    [
        ("await", "it ended when asked to", True),
        ("check", "it ended when asked to", True),
        ("deaf", "it did not end within 0.3 s and got SIGTERM", False),
        ("stubborn", "it did not end within 0.6 s and was killed", False),
    ],
)
async def test_a_cancelled_task_is_asked_then_told_then_killed(tmp_path, manners, how, kept):
    async with new_runner(tmp_path) as runner:
        outcome = await cancelled_at_work(runner, assignment("sleep", seconds=1000, manners=manners))
        assert (outcome.state, outcome.failure.code, outcome.child_kept) == ("CANCELLED", "CANCELLED", kept)
        assert outcome.failure.problem == f"cancelled by its sender; {how}"
        assert (await runner.run(assignment("echo", value=1))).result["value"] == 1


@pytest.mark.parametrize("manners", ["await", "deaf"])
async def test_a_cancelled_task_cleans_up(tmp_path, manners):
    notes = tmp_path / "notes"
    async with new_runner(tmp_path) as runner:
        outcome = await cancelled_at_work(runner, assignment("cleans", file=str(notes), manners=manners))
    assert (outcome.state, notes.read_text().split()) == ("CANCELLED", ["finally", "clean_up"])


async def test_a_task_that_was_cancelled_before_it_began_starts_nothing(tmp_path):
    cancel = asyncio.Event()
    cancel.set()
    async with new_runner(tmp_path) as runner:
        outcome = await runner.run(assignment("echo"), cancel=cancel)
        assert (outcome.state, outcome.child, runner.children) == ("CANCELLED", None, [])


async def test_a_deadline_ends_a_task_and_one_that_has_passed_starts_nothing(tmp_path):
    async with new_runner(tmp_path) as runner:
        late = await runner.run(assignment("echo", deadline_ns=1))
        soon = await runner.run(assignment("sleep", seconds=1000, deadline_ns=time.time_ns() + 10**8))
    assert (late.state, late.failure.problem, late.child) == (
        "DEADLINE_EXCEEDED",
        "its deadline passed before it began",
        None,
    )
    assert (soon.state, soon.failure.problem) == (
        "DEADLINE_EXCEEDED",
        "its deadline passed while it ran; it ended when asked to",
    )


async def test_a_task_that_runs_longer_than_its_type_may_has_timed_out(tmp_path):
    async with new_runner(tmp_path) as runner:
        outcome = await runner.run(assignment("slow"))
    assert (outcome.state, outcome.failure.code, outcome.failure.problem) == (
        "FAILED",
        "TIMED_OUT",
        "it ran longer than its type may; it ended when asked to",
    )


async def test_progress_is_told_in_order_and_not_a_thousand_times(tmp_path):
    told = []
    async with new_runner(tmp_path) as runner:
        outcome = await runner.run(assignment("counts", attempt=2), progress=told.append)
    fractions = [item.progress for item in told]
    assert outcome.result == "counted"
    assert fractions == sorted(fractions)
    assert (fractions[-1], len(told) < 500) == (1.0, True)
    assert {(item.task_id, item.attempt) for item in told} == {("task", 2)}
    assert [told[0].stage, told[-1].stage] == ["first half", "second half"]


@pytest.mark.parametrize("what", ["rows", "records"])
async def test_a_large_result_is_parquet_under_the_data_folder(tmp_path, what):
    async with new_runner(tmp_path, options={"inline_bytes": 10_000}) as runner:
        small = await runner.run(assignment("result", what=what, size=3))
        large = await runner.run(assignment("result", task_id="a:b", attempt=3, what=what, size=5_000))
    records = [{"n": n, "half": n / 2} for n in range(5_000)]
    assert small.result == ({"rows": records[:3]} if what == "rows" else records[:3])
    assert (large.result, large.result_path) == ({"n_rows": 5_000}, "results/a:b.3.parquet")
    assert pq.read_table(tmp_path / large.result_path).to_pylist() == records
    assert file_drafts(tmp_path) == []


async def test_a_summary_stays_in_the_result_when_its_rows_go_to_a_file(tmp_path):
    async with new_runner(tmp_path, options={"inline_bytes": 10_000}) as runner:
        outcome = await runner.run(assignment("result", what="table_with_summary", size=5_000))
    assert outcome.result == {"mean": None, "seen": 5_000, "n_rows": 5_000}


async def test_a_large_result_that_is_no_rows_is_refused(tmp_path):
    async with new_runner(tmp_path, options={"inline_bytes": 10_000}) as runner:
        large = await runner.run(assignment("result", what="text", size=20_000))
        unknown = await runner.run(assignment("result", what="unknown"))
    assert (large.failure.code, large.failure.problem) == (
        "RESULT_TOO_LARGE",
        "the result is 20,002 bytes of JSON, 10,000 may travel",
    )
    assert (unknown.failure.code, unknown.failure.problem) == (
        "TASK_ERROR",
        "the result holds what has no JSON: threading._MainThread",
    )


async def test_a_result_never_leaves_the_data_folder_by_a_link(tmp_path):
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    data.mkdir()
    elsewhere.mkdir()
    (data / "results").symlink_to(elsewhere)
    async with new_runner(data, options={"inline_bytes": 100}) as runner:
        outcome = await runner.run(assignment("result", what="rows", size=1_000))
    assert (outcome.failure.code, list(elsewhere.iterdir())) == ("BAD_REQUEST", [])
    assert "is outside of the data folder" in outcome.failure.problem


async def test_drafts_of_a_runner_that_was_killed_are_removed(tmp_path):
    draft = tmp_path / "results" / ".old.1.parquet.draft"
    draft.parent.mkdir()
    draft.write_bytes(b"half")
    async with new_runner(tmp_path):
        assert not draft.exists()


async def test_the_peak_is_what_the_task_used_and_not_the_one_before(tmp_path):
    assert reset_peak()
    size = process_memory().rss_bytes // MIB + 300  # of a dead child only what is above our own is known
    async with new_runner(tmp_path) as runner:
        large = await runner.run(assignment("allocate", bytes=96 * MIB))
        small = await runner.run(assignment("allocate", bytes=16 * MIB))
        crashed = await runner.run(assignment("crash", how="exit"))
        died = await runner.run(assignment("hold", megabytes=size, die=True, memory_bytes=2 * size * MIB))
    assert large.child.pid == small.child.pid == crashed.child.pid
    assert 95 * MIB <= large.attempt.peak_memory_bytes <= 110 * MIB
    assert 15 * MIB <= small.attempt.peak_memory_bytes <= 30 * MIB
    assert (crashed.attempt.peak_memory_bytes or 0) <= 30 * MIB
    assert (size - 10) * MIB <= died.attempt.peak_memory_bytes <= (size + 20) * MIB


async def test_a_task_on_the_cpu_is_held_to_its_memory_and_the_next_one_has_its_own(tmp_path):
    async with new_runner(tmp_path) as runner:
        within = await runner.run(assignment("allocate", bytes=40 * MIB, memory_bytes=64 * MIB))
        beyond = await runner.run(assignment("allocate", bytes=96 * MIB, memory_bytes=64 * MIB))
        granted = await runner.run(assignment("allocate", bytes=96 * MIB, memory_bytes=128 * MIB))
    assert [o.state for o in (within, beyond, granted)] == ["SUCCEEDED", "FAILED", "SUCCEEDED"]
    assert (beyond.failure.code, beyond.child_kept) == ("OUT_OF_MEMORY", False)
    assert granted.child.pid != beyond.child.pid  # a fresh process


async def test_numpy_arrow_and_torch_are_held_to_the_grant_on_the_cpu(tmp_path):
    async with new_runner(tmp_path) as runner:
        for library in ("numpy", "arrow", "torch"):
            ask = {"library": library, "memory_bytes": 200 * MIB}
            within = await runner.run(assignment("grab", megabytes=100, **ask))
            assert (within.failure, within.result) == (None, 100 * MIB)
        for library in ("torch", "arrow"):  # each costs the child; NumPy's is a plain MemoryError
            beyond = await runner.run(
                assignment("grab", library=library, megabytes=300, memory_bytes=200 * MIB)
            )
            assert (library, beyond.failure.code) == (library, "OUT_OF_MEMORY")


async def test_a_child_whose_memory_does_not_come_back_is_replaced(tmp_path):
    async with new_runner(tmp_path, options={"max_kept_bytes": 64 * MIB}) as runner:
        returned = await runner.run(assignment("allocate", bytes=96 * MIB))
        kept = await runner.run(assignment("allocate", bytes=96 * MIB, keep=True))
        after = await runner.run(assignment("echo"))
    assert [returned.child_kept, kept.child_kept] == [True, False]
    assert returned.child.pid == kept.child.pid != after.child.pid


async def test_a_failed_task_gives_back_what_its_frames_held(tmp_path):
    async with new_runner(tmp_path, options={"max_kept_bytes": 64 * MIB}) as runner:
        outcome = await runner.run(assignment("hold", megabytes=128))
    assert (outcome.failure.code, outcome.child_kept) == ("TASK_ERROR", True)


async def test_a_child_ends_after_its_share_of_tasks(tmp_path):
    async with new_runner(tmp_path, options={"max_tasks": 2}) as runner:
        outcomes = [await runner.run(assignment("echo")) for _ in range(3)]
    assert [outcome.child_kept for outcome in outcomes] == [True, False, True]
    assert outcomes[1].child.pid != outcomes[2].child.pid


async def test_an_idle_child_that_was_killed_is_not_given_a_task(tmp_path):
    async with new_runner(tmp_path) as runner:
        first = await runner.run(assignment("echo"))
        os.kill(first.child.pid, signal.SIGKILL)
        await until(lambda: not runner.children)
        second = await runner.run(assignment("echo"))
    assert (second.state, second.child.pid != first.child.pid) == ("SUCCEEDED", True)


async def test_idle_children_end_on_request_and_their_memory_is_free(tmp_path):
    async with new_runner(tmp_path) as runner:
        outcome = await runner.run(assignment("echo"))
        assert len(await runner.pool.tend("CPU-here", end=True)) == 1
        assert (started_ticks(outcome.child.pid), runner.children) == (None, [])


async def test_a_child_that_does_not_start_is_a_failure_with_its_last_words(tmp_path):
    broken = (sys.executable, "-c", "raise SystemExit('no such accelerator')")
    silent = (sys.executable, "-c", "import time; time.sleep(1000)")
    async with new_runner(tmp_path, program=broken) as runner:
        outcome = await runner.run(assignment("echo"))
    assert (outcome.state, outcome.failure.problem) == (
        "FAILED",
        "a task's process does not start: it ended with exit code 1: no such accelerator",
    )
    async with new_runner(tmp_path, program=silent, options={"start_patience_s": 0.3}) as runner:
        outcome = await runner.run(assignment("echo"))
        assert runner.children == []
    assert outcome.failure.problem == "a task's process is not up after 0.3 s"


async def test_cancelling_run_itself_ends_the_child(tmp_path):
    seen: list[ChildIdentity] = []
    async with new_runner(tmp_path) as runner:
        running = asyncio.create_task(runner.run(assignment("sleep", seconds=1000), started=seen.append))
        await until(lambda: seen)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert (started_ticks(seen[0].pid), runner.children) == (None, [])


async def test_what_a_task_started_ends_with_it(tmp_path):
    async with new_runner(tmp_path) as runner:
        outcome = await cancelled_at_work(runner, assignment("family", folder=str(tmp_path)))
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        family = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
        await runner.pool.tend("CPU-here", end=True)
        assert (outcome.state, len(pids)) == ("CANCELLED", 3)
        assert gone(family)


RUN_A_FAMILY = """
import asyncio, sys
from pathlib import Path
from agents.tasks.assignment import Assignment
from tests.agents.tasks.running import assignment, new_runner

async def main(folder):
    async with new_runner(Path(folder)) as runner:
        await runner.run(assignment("family", folder=folder))

asyncio.run(main(sys.argv[1]))
"""


async def test_nothing_survives_a_runner_that_is_killed(tmp_path):
    root = Path(__file__).parents[3]
    runner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RUN_A_FAMILY, str(tmp_path), cwd=root, start_new_session=True
    )
    try:
        await until((tmp_path / "pids").exists)
        family = psutil.Process(runner.pid).children(recursive=True)
        assert len(family) >= 3
    finally:
        runner.kill()
        await runner.wait()
    assert gone(family)


async def test_children_read_the_runners_settings_and_no_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TAPESTREAM_DATA_DIR", "/nowhere")
    relative = Settings(data_dir=Path("own"))
    from tests.agents.tasks.running import agents

    async with Runner(relative, agents()) as runner:
        outcome = await runner.run(assignment("result", what="rows", size=100_000))
    assert (tmp_path / "own" / outcome.result_path).is_file()


def test_an_identity_is_of_one_process_alone():
    me = started_ticks(os.getpid())
    assert me is not None
    assert me == started_ticks(os.getpid())
    assert started_ticks(2**22 + 1) is None
    assert CPU == ("CPU-here",)
