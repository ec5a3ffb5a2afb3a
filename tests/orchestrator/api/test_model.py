"""The read model: the same whatever the order in which topics are read, and bounded."""

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.api import views
from orchestrator.api.model import EventLog, Place, ReadModel, Seen, TaskTable, fingerprint
from orchestrator.api.model.read_model import LETTERS
from schemas import codec
from schemas.alerts import MemoryAlert
from schemas.tasks import Failure, TaskCancel, TaskProgress, TaskRequest, TaskResult
from streams import topics
from streams.tail import Entry

MESSAGES = {
    topics.GPU_TASKS: [
        TaskRequest(task_id="a", task_type="x", priority=3),
        TaskRequest(task_id="b", task_type="x", idempotency_key="k"),
        TaskRequest(task_id="a", task_type="other"),
        TaskCancel(task_id="b"),
    ],
    topics.GPU_RESULTS: [
        TaskProgress(task_id="a", attempt=1, progress=0.5),
        TaskResult(task_id="a", task_type="x", state="SUCCEEDED", ran_on=["GPU-1"]),
        TaskResult(
            task_id="b", task_type="x", state="FAILED", failure=Failure(code="CRASHED", problem="signal 9")
        ),
        TaskResult(task_id="a", task_type="x", state="FAILED"),
    ],
}


def _entries(base: str) -> list[Entry]:
    return [
        Entry(base, 0, number, 1_000, b"k", codec.dumps(message))
        for number, message in enumerate(MESSAGES[base])
    ]


@given(st.lists(st.sampled_from(tuple(MESSAGES)), max_size=8))
@settings(max_examples=60, deadline=None)
def test_the_order_between_topics_changes_no_state(turns: list[str]) -> None:
    waiting = {base: _entries(base) for base in MESSAGES}
    model = ReadModel()
    for base in (*turns, *MESSAGES, *(["gpu.tasks", "gpu.results"] * 4)):
        if waiting[base]:
            model.fold([waiting[base].pop(0)])
    found = {name: (row.state, row.gpu_uuids) for name in "ab" if (row := model.tasks.get(name))}
    assert found == {"a": ("SUCCEEDED", ("GPU-1",)), "b": ("FAILED", ())}
    assert (model.tasks.get("a").task_type, model.tasks.get("a").priority) == ("x", 3)
    assert {state: n for state, n in model.tasks.states.items() if n} == {"SUCCEEDED": 1, "FAILED": 1}
    assert (model.tasks.submitted, model.tasks.ended) == (2, 2)


def test_what_cannot_be_decoded_is_counted_and_passed_over() -> None:
    model = ReadModel()
    payloads = (b"{", b"[]", b'"x"', b'{"task_type": 3}', b'{"cancel": true}', b"\xff")
    model.fold([Entry(base, 0, n, 1, None, p) for base in LETTERS for n, p in enumerate(payloads)])
    assert dict(model.passed_over) == dict.fromkeys(LETTERS, len(payloads))
    assert model.positions == {(base, 0): len(payloads) for base in LETTERS}


def test_what_the_orchestrator_takes_for_a_wish_to_cancel_is_no_task_here_either() -> None:
    model = ReadModel()
    for number, cancel in enumerate((b"null", b"false", b'"yes"', b"{}")):
        payload = b'{"task_id": "a", "task_type": "x", "cancel": %s}' % cancel
        model.fold([Entry(topics.GPU_TASKS, 0, number, 1, None, payload)])
    assert (len(model.tasks), model.passed_over[topics.GPU_TASKS]) == (0, 4)


def test_a_request_without_an_id_is_called_by_its_coordinates() -> None:
    model = ReadModel()
    model.fold([Entry(topics.GPU_TASKS, 3, 17, 1, None, b'{"task_type": "x"}')])
    assert model.tasks.get("task-3-17").task_type == "x"


def test_the_oldest_task_that_is_over_is_forgotten_first() -> None:
    tasks = TaskTable(kept=3)
    for number, name in enumerate("abc"):
        tasks.request(name, TaskRequest(task_type="x", idempotency_key=name), number, None)
    over = TaskResult(task_id="b", task_type="x", state="SUCCEEDED")
    tasks.result(over, 9, Place(topics.GPU_RESULTS, 0, 0), b"{}")
    tasks.request("d", TaskRequest(task_type="x"), 9, None)
    assert [row.task_id for row in tasks.newest_first()] == ["d", "c", "a"]
    tasks.request("e", TaskRequest(task_type="x"), 10, None)
    assert [row.task_id for row in tasks.newest_first()] == ["e", "d", "c"]
    assert (tasks.by_key("a"), tasks.by_key("b"), tasks.states["QUEUED"]) == (None, None, 3)
    assert tasks.payload(Place(topics.GPU_RESULTS, 0, 0)) is None


def test_messages_are_kept_up_to_so_many_bytes() -> None:
    tasks = TaskTable(kept_bytes=100)
    for number in range(5):
        place = Place(topics.GPU_TASKS, 0, number)
        tasks.request(f"t{number}", TaskRequest(task_type="x"), number, place, b"." * 40)
    kept = [tasks.payload(Place(topics.GPU_TASKS, 0, number)) is not None for number in range(5)]
    assert kept == [False, False, False, True, True]


def test_requests_are_the_same_whatever_the_order_of_their_keys() -> None:
    one = TaskRequest(task_id="1", task_type="x", data={"a": [1, {"b": 2, "c": 3}], "d": 4})
    same = TaskRequest(task_type="x", data={"d": 4, "a": [1, {"c": 3, "b": 2}]}, idempotency_key="k")
    assert fingerprint(one) == fingerprint(same)
    assert fingerprint(one) != fingerprint(one.model_copy(update={"priority": 6}))


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(tuple(LETTERS)), st.integers(0, 99_999)), st.integers(0, 10**17)
    )
)
@settings(max_examples=50)
def test_an_events_id_says_all_that_it_was_made_of(positions: dict[tuple[str, int], int]) -> None:
    seen = Seen(LETTERS, positions)
    assert Seen.parse(str(seen), LETTERS) == seen


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(0, 40))
@settings(max_examples=60)
def test_a_client_misses_no_event_or_is_told_so(partitions: list[int], cut: int) -> None:
    log = EventLog(kept=12)
    ends: dict[int, int] = {}
    seen, all_places = Seen(LETTERS), []
    for number, partition in enumerate(partitions):
        place = Place(topics.GPU_TASKS, partition, ends.get(partition, 0))
        ends[partition] = place.offset + 1
        log.append(place, "task", "t", b"{}")
        all_places.append(place)
        if number < cut:
            seen.add(place)
    missed = [place for place in all_places if not seen.covers(place)]
    if log.knows_all_after(seen):
        assert [event.place for event in log.unseen(seen)] == missed
    else:
        assert len(missed) > 12


def _alert(event: str, opened_ns: int, epoch: int) -> MemoryAlert:
    return MemoryAlert(
        alert_id=f"a{opened_ns}",
        gpu_uuid="GPU-1",
        kind="device_memory",
        event=event,  # type: ignore[arg-type]
        level="HIGH",
        used_bytes=9,
        capacity_bytes=10,
        opened_ns=opened_ns,
        at_ns=opened_ns,
        epoch=epoch,
    )


def test_a_memory_has_one_open_alert_whatever_an_earlier_owner_says() -> None:
    model = ReadModel()
    told = [_alert("opened", 1, 1), _alert("escalated", 1, 2), _alert("opened", 2, 1), _alert("closed", 1, 2)]
    for number, alert in enumerate(told):
        model.fold([Entry(topics.MEMORY_ALERTS, 0, number, 1, b"GPU-1", codec.dumps(alert))])
        assert len(model.open_alerts) == (number < 3)
    assert [alert.event for alert in model.recent_alerts] == ["opened", "escalated", "closed"]


def test_what_tasks_take_is_learned_from_their_results_and_shown() -> None:
    model = ReadModel()
    for number in range(20):
        result = TaskResult(
            task_id=f"t{number}",
            task_type="x",
            state="SUCCEEDED",
            ran_on=["CPU-h"],
            peak_memory_bytes=100 + number,
        )
        again = [Entry(topics.GPU_RESULTS, 0, number, 1, b"k", codec.dumps(result))] * 2
        model.fold(again)
    (peak,) = views.stats(model, 0).peaks
    assert peak.model_dump() == {
        "task_type": "x",
        "lane": "cpu",
        "peak_bytes": 119,
        "tasks": 20,
        "calibration": "20 tasks",
    }
