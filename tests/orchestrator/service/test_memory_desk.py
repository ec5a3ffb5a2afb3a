"""The guard in the owner's office: what it reads at the start, says to topics, and has written on the log."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from orchestrator.ledger import ACCEPTED, State
from orchestrator.service.memory_desk import REPEAT_POLICY_NS, MemoryDesk
from schemas import codec
from schemas.alerts import MemoryAlert
from schemas.allocations import (
    AdmissionChanged,
    DeviceSeen,
    Granted,
    HealthChanged,
    OwnerClaimed,
    Record,
    Started,
    TaskAccepted,
)
from schemas.commands import AllocatorSample, CleanupCommand, PolicyCommand, decode_command
from schemas.devices import DeviceReport
from schemas.messages import Message
from streams import topics

S = 1_000_000_000
GPU = "GPU-1"


class Topic:
    """Records that have arrived."""

    def __init__(self, *messages: Message | bytes) -> None:
        self.caught_up = True
        self.waiting = list(messages)

    def take(self) -> Sequence[Any]:
        taken, self.waiting = self.waiting, []
        values = [one if isinstance(one, bytes) else codec.dumps(one) for one in taken]
        return [SimpleNamespace(value=value) for value in values]


class Said:
    """What was written to topics: topic, key, message."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str, Message]] = []

    async def write(self, base: str, key: str, values: Sequence[bytes]) -> int:
        for value in values:
            is_alert = base == topics.MEMORY_ALERTS
            found = codec.decode(MemoryAlert, value) if is_alert else decode_command(value)
            self.messages.append((base, key, found))
        return 0


class Office:
    """An owner in its second epoch, its ledger, and what it said."""

    def __init__(self, *, alerts: Topic | None = None, commands: Topic | None = None, **more: Any) -> None:
        self.state = State("d")
        self.at_s = 0
        log = Said()
        self.said = log.messages
        self.alerts, self.commands = alerts or Topic(), commands or Topic()
        for epoch in (1, 2):
            self.write(OwnerClaimed(domain="d", owner="o", epoch=epoch, at_ns=1))
        self.write(
            DeviceSeen(**self.head(), gpu_uuid=GPU, device_kind="gpu", host="h", capacity_bytes=100, slots=2)
        )
        self.write(HealthChanged(**self.head(), gpu_uuid=GPU, health="HEALTHY"))
        self.desk = MemoryDesk(self.state, log, self.alerts, self.commands, epoch=2, **more)

    def head(self) -> dict[str, Any]:
        return {"domain": "d", "owner": "o", "epoch": self.state.epoch or 1, "at_ns": self.at_s * S + 1}

    def write(self, *records: Record) -> None:
        for record in records:
            assert self.state.apply(record) is ACCEPTED, record

    async def hears(self, *percents: int) -> list[Record]:
        """Reports, a second apart; the records that follow, which arrive on the log."""
        written: list[Record] = []
        for percent in percents:
            self.at_s += 1
            report = DeviceReport(
                gpu_uuid=GPU,
                kind="gpu",
                host="h",
                health="HEALTHY",
                at_ns=self.at_s * S,
                memory_bytes=100,
                free_bytes=100 - percent,
            )
            self.desk.saw(report)
            records = await self.desk.work(self.at_s * S)
            self.write(*records)
            written += records
        return written

    def told(self) -> list[tuple[str, str]]:
        """Alerts by event and level, commands by phase and action, renewals aside."""
        found: list[tuple[str, str]] = []
        for _, _, message in self.said:
            if isinstance(message, MemoryAlert):
                found.append((message.event, message.level))
            elif isinstance(message, CleanupCommand) and message.phase != "renew":
                found.append((message.phase, message.action))
        return found


def runs(office: Office, task_id: str, *, priority: int, least: int) -> None:
    about = office.head()
    office.write(
        TaskAccepted(
            **about,
            task_id=task_id,
            task_type="any",
            submitted_ns=1,
            memory_bytes=10,
            min_memory_bytes=least,
            cpu_bytes=10,
            priority=priority,
        ),
        Granted(**about, task_id=task_id, attempt=1, gpu_uuids=(GPU,), memory_bytes=10, lease_ns=S),
        Started(**about, task_id=task_id, attempt=1, agent="a"),
    )


async def test_memory_that_runs_low_is_told_and_admission_stops_on_the_log_until_it_is_well() -> None:
    office = Office()
    assert await office.hears(97, 97) == []
    (stopped,) = await office.hears(97)
    assert stopped == AdmissionChanged(
        **office.head() | {"at_ns": 3 * S}, gpu_uuid=GPU, stopped=True, reason="memory is CRITICAL"
    )
    assert await office.hears(97, 97) == []
    (opened,) = await office.hears(10, 10, 10)
    assert isinstance(opened, AdmissionChanged)
    assert (opened.stopped, opened.reason, office.state.devices[GPU].stopped) == (
        False,
        "memory is well again",
        False,
    )
    assert office.told() == [
        ("opened", "CRITICAL"),
        ("begin", "pause_ticks"),
        ("once", "empty_idle_caches"),
        ("begin", "clean_at_task_boundary"),
        ("begin", "spill_cudf"),
        ("begin", "cut_batches"),
        ("begin", "stop_admission"),
        ("once", "recycle_idle"),
        ("closed", "CRITICAL"),
        ("end", "stop_admission"),
        ("end", "cut_batches"),
        ("end", "spill_cudf"),
        ("end", "clean_at_task_boundary"),
        ("end", "pause_ticks"),
    ]
    base, key, alert = office.said[0]
    assert isinstance(alert, MemoryAlert)
    assert (base, key, alert.domain, alert.epoch) == (topics.MEMORY_ALERTS, GPU, "d", 2)


async def test_the_open_alert_of_the_owner_before_is_gone_on_with_under_its_id() -> None:
    first = Office()
    await first.hears(97, 97, 97)
    alert = first.said[0][2].model_copy(update={"epoch": 1})
    second = Office(alerts=Topic(alert, b"no json"))
    second.at_s = first.at_s
    await second.hears(97, 97, 97, 10, 10, 10)
    alerts = [message for _, _, message in second.said if isinstance(message, MemoryAlert)]
    assert isinstance(alert, MemoryAlert)
    assert [(found.event, found.alert_id, found.epoch) for found in alerts] == [("closed", alert.alert_id, 2)]


async def test_an_alert_that_an_owner_opens_after_it_lost_the_domain_is_closed() -> None:
    office = Office()
    await office.hears(97, 97, 97)
    ours = office.said[0][2]
    office.said.clear()
    office.alerts.waiting = [ours, ours.model_copy(update={"epoch": 1, "alert_id": "stale"})]
    await office.hears(97)
    (closed,) = [message for _, _, message in office.said if isinstance(message, MemoryAlert)]
    assert (closed.event, closed.alert_id, closed.epoch) == ("closed", "stale", 2)
    assert office.desk.guard.level(GPU) == "CRITICAL"


async def test_alerts_of_another_domain_are_that_domains() -> None:
    first = Office()
    await first.hears(97, 97, 97)
    office = Office(alerts=Topic(first.said[0][2].model_copy(update={"epoch": 1, "domain": "other"})))
    await office.hears(10)
    assert (office.said, office.desk.guard.level(GPU)) == ([], None)


async def test_nothing_is_said_before_the_topics_are_read() -> None:
    office = Office()
    office.alerts.caught_up = False
    assert await office.hears(97, 97, 97, 97) == []
    office.alerts.caught_up = True
    assert await office.hears(97, 97) == []
    assert office.said == []
    await office.hears(97)
    assert office.told()[0] == ("opened", "CRITICAL")


async def test_a_policy_is_followed_from_its_command_on_and_after_a_restart() -> None:
    office = Office()
    await office.hears(97, 97, 97)
    office.said.clear()
    command = PolicyCommand(policy="conservative", at_ns=1, requested_by="me")
    office.commands.waiting = [command, b"no json"]
    await office.hears(97)
    assert [action for phase, action in office.told() if phase == "end"] == [
        "cut_batches",
        "spill_cudf",
        "clean_at_task_boundary",
    ]
    again = Office(commands=Topic(PolicyCommand(policy="aggressive", at_ns=0), command))
    await again.hears(10)
    assert again.desk.guard.policy == "conservative"


async def test_a_policy_is_said_again_before_the_topic_forgets_it() -> None:
    office = Office(commands=Topic(PolicyCommand(policy="conservative", at_ns=1, requested_by="me")))
    await office.desk.work(REPEAT_POLICY_NS)
    assert office.said == []
    await office.desk.work(REPEAT_POLICY_NS + 1)
    await office.desk.work(REPEAT_POLICY_NS + 2)
    again = PolicyCommand(policy="conservative", at_ns=REPEAT_POLICY_NS + 1, requested_by="me")
    assert office.said == [(topics.GPU_COMMANDS, "policy", again)]


async def test_under_the_aggressive_policy_an_attempt_is_wanted_off_the_device_until_it_is_gone() -> None:
    office = Office(commands=Topic(PolicyCommand(policy="aggressive", at_ns=1)))
    (record,) = await office.hears(97, 97, 97)
    assert isinstance(record, AdmissionChanged)
    assert (record.stopped, record.make_room) == (True, True)
    office.commands.waiting = [PolicyCommand(policy="moderate", at_ns=2)]
    (record,) = await office.hears(97)
    assert isinstance(record, AdmissionChanged)
    assert (record.stopped, record.make_room) == (True, False)


async def test_the_process_to_end_is_the_lowest_tasks_and_none_is_named_where_none_runs() -> None:
    aggressive = PolicyCommand(policy="aggressive", at_ns=1)
    idle = Office(commands=Topic(aggressive), may_end=True)
    await idle.hears(*[97] * 70)
    assert ("once", "end_process") not in idle.told()
    office = Office(commands=Topic(aggressive), may_end=True)
    runs(office, "high", priority=7, least=10)
    runs(office, "low", priority=2, least=10)
    await office.hears(*[97] * 70)
    ends = [m for _, _, m in office.said if isinstance(m, CleanupCommand) and m.action == "end_process"]
    assert [(command.lease, command.gpu_uuid) for command in ends] == [("low/1", GPU)]


async def test_a_lost_device_has_no_alert_and_one_that_does_not_answer_is_no_sample() -> None:
    office = Office()
    await office.hears(97, 97, 97)
    office.write(HealthChanged(**office.head(), gpu_uuid=GPU, health="LOST"))
    await office.desk.work(office.at_s * S)
    assert ("closed", "CRITICAL") in office.told()
    silent = {
        "gpu_uuid": GPU,
        "kind": "gpu",
        "host": "h",
        "health": "LOST",
        "at_ns": 9 * S,
        "memory_bytes": 1,
    }
    office.said.clear()
    office.desk.saw(DeviceReport.model_validate(silent))
    assert (await office.desk.work(9 * S), office.said) == ([], [])


async def test_torchs_allocator_has_an_alert_of_its_own_which_closes_when_its_holders_are_gone() -> None:
    office = Office()
    for _ in range(4):
        held = {"gpu_uuid": GPU, "kind": "torch_reserved", "used_bytes": 97, "limit_bytes": 100, "at_ns": 1}
        office.commands.waiting.append(AllocatorSample.model_validate(held | {"holder": "agent-1"}))
        await office.hears(10)
    assert office.told() == [("opened", "CRITICAL")]
    await office.hears(*[10] * 12)
    assert office.told() == [("opened", "CRITICAL"), ("closed", "CRITICAL")]
    alerts = [message for _, _, message in office.said if isinstance(message, MemoryAlert)]
    assert {alert.kind for alert in alerts} == {"torch_reserved"}
