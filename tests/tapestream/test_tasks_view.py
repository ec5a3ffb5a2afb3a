from typing import Any

from schemas import allocations, codec
from schemas.allocations import Ended, Granted, Started, TaskAccepted
from tapestream.tasks_view import TaskTable

HEAD: dict[str, Any] = {"domain": "d", "owner": "o", "epoch": 1, "at_ns": 1}
LOG, RESULTS, TASKS = "p.orchestrator.allocations", "p.gpu.results", "p.gpu.tasks"


def test_a_task_is_shown_from_its_request_to_its_result() -> None:
    table, states = TaskTable(), []
    accepted = TaskAccepted(
        **HEAD, task_id="a", task_type="echo", submitted_ns=1, memory_bytes=1, min_memory_bytes=1, cpu_bytes=1
    )
    granted = Granted(**HEAD, task_id="a", attempt=1, gpu_uuids=("GPU-1",), memory_bytes=1, lease_ns=1)
    started = Started(**HEAD, task_id="a", attempt=1, agent="g")
    ended = Ended(**HEAD, task_id="a", attempt=1, agent="g", outcome="FAILED", failure="CRASHED")
    result = {"task_id": "a", "task_type": "echo", "state": "FAILED", "ran_on": ["GPU-1"]}
    failure = {"code": "CRASHED", "problem": "it died"}
    for topic, value in (
        (TASKS, codec.dumps({"task_id": "a", "task_type": "echo"})),
        *((LOG, allocations.encode(record)) for record in (accepted, granted, started, ended)),
        (RESULTS, codec.dumps(result | {"failure": failure})),
        (RESULTS, codec.dumps(result | {"state": "SUCCEEDED"})),  # a second one does not count
    ):
        table.take_in(topic, value, 0, 0)
        states.append(table.rows["a"].state)
    assert states == ["SUBMITTED", "QUEUED", "GRANTED", "RUNNING", "ENDING", "FAILED", "FAILED"]
    assert table.rows["a"].line() == "a  echo  FAILED  on GPU-1  CRASHED: it died"


def test_progress_is_shown_until_there_is_a_result() -> None:
    table = TaskTable()
    progress = {"task_id": "a", "attempt": 1, "progress": 0.25, "stage": "reading"}
    table.take_in(RESULTS, codec.dumps(progress), 0, 0)
    assert table.rows["a"].line() == "a    SUBMITTED  25% reading"
    assert table.rows["a"].as_dict()["progress"] == 0.25


def test_a_table_of_one_task_knows_no_other() -> None:
    table = TaskTable(only="a")
    table.take_in(TASKS, codec.dumps({"task_id": "ab", "task_type": "echo"}), 0, 0)
    table.take_in(TASKS, codec.dumps({"task_type": "echo", "data": {"value": "a"}}), 2, 5)
    assert table.rows == {}


def test_what_cannot_be_read_is_passed_over() -> None:
    table = TaskTable()
    for topic in (LOG, RESULTS, TASKS):
        for value in (b"nonsense", b"[]", b"{}", None):
            table.take_in(topic, value, 0, 0)
    assert set(table.rows) <= {"task-0-0"}
