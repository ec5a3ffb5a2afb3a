"""A domain for tests of decisions: what there is in one line, what was decided in another."""

from typing import Any

from orchestrator.ledger import Ignored, State
from orchestrator.policies import Policy, WaitClass
from orchestrator.scheduling import decide
from schemas.allocations import (
    AdmissionChanged,
    DeviceSeen,
    Ended,
    Granted,
    Head,
    HealthChanged,
    OwnerClaimed,
    Record,
    Released,
    Started,
    TaskAccepted,
    Tick,
)

CLASSES = (WaitClass("high", 5, 30, 120), WaitClass("low", 0, 60, 240))
POLICY = Policy(classes=CLASSES, lease_ns=40, headroom_bytes=2)


class Domain:
    """A log that grows, and its state."""

    def __init__(self, policy: Policy = POLICY) -> None:
        self.policy, self.state, self.now_ns = policy, State("here"), 1
        self.log: list[tuple[int, Head]] = []
        self.write(OwnerClaimed(**self.head()))

    def head(self) -> dict[str, Any]:
        return {
            "domain": "here",
            "owner": self.state.owner or "o1",
            "epoch": self.state.epoch or 1,
            "at_ns": self.now_ns,
        }

    def write(self, record: Head) -> None:
        self.log.append((len(self.log), record))
        verdict = self.state.apply(record)
        assert not isinstance(verdict, Ignored), (verdict, record)

    def device(
        self, uuid: str, size: int = 10, *, host: str = "h1", slots: int = 4, health: str = "HEALTHY"
    ) -> None:
        kind = "cpu" if uuid.startswith("CPU") else "gpu"
        self.write(
            DeviceSeen(
                **self.head(), gpu_uuid=uuid, device_kind=kind, host=host, capacity_bytes=size, slots=slots
            )
        )
        if health != "UNKNOWN":
            self.health(uuid, health)

    def health(self, uuid: str, health: Any) -> None:
        self.write(HealthChanged(**self.head(), gpu_uuid=uuid, health=health))

    def low_memory(self, uuid: str, *, stopped: bool, make_room: bool = False) -> None:
        self.write(AdmissionChanged(**self.head(), gpu_uuid=uuid, stopped=stopped, make_room=make_room))

    def task(self, name: str, memory: int = 4, **more: Any) -> None:
        fields = {"min_memory_bytes": memory, "cpu_bytes": memory, "cpu_ok": False, "priority": 5}
        self.write(
            TaskAccepted(
                **self.head(),
                task_id=name,
                task_type="any",
                submitted_ns=self.now_ns,
                memory_bytes=memory,
                **(fields | more),
            )
        )

    def at(self, now_ns: int) -> None:
        self.now_ns = now_ns
        self.write(Tick(**self.head()))

    def decide(self) -> list[Record]:
        """Decide, and let all of it arrive."""
        records = decide(self.state, self.now_ns, self.policy, basis=len(self.log) - 1)
        for record in records:
            self.write(record)
        return records

    def granted(self) -> dict[str, tuple[str, ...]]:
        """Task to devices, of what is granted now."""
        return {record.task_id: record.gpu_uuids for record in self.decide() if isinstance(record, Granted)}

    def start(self, name: str) -> None:
        self.write(Started(**self.about(name)))

    def end(self, name: str, outcome: Any = "SUCCEEDED", failure: Any = None) -> None:
        about = self.about(name)
        self.write(Ended(**about, outcome=outcome, failure=failure))
        self.write(Released(**about))

    def about(self, name: str) -> dict[str, Any]:
        return self.head() | {"task_id": name, "attempt": self.state.tasks[name].attempt, "agent": "x"}

    def states(self) -> dict[str, str]:
        return {name: task.state for name, task in self.state.tasks.items()}
