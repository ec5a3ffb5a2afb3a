"""The invariants along random logs, longer and wider than the small worlds."""

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from orchestrator.ledger import Ignored, State, digest, fold, restore, snapshot
from orchestrator.policies import Policy, WaitClass
from orchestrator.scheduling import Scheduler, decide
from schemas.allocations import (
    AdmissionChanged,
    CancelRequested,
    DeviceSeen,
    Ended,
    Head,
    HealthChanged,
    OwnerClaimed,
    Reclaiming,
    Released,
    Renewed,
    Started,
    TaskAccepted,
    Tick,
    decode,
    encode,
)
from tests.orchestrator.ledger.invariants import OVER, broken

POLICY = Policy(
    classes=(WaitClass("high", 5, 30, 120), WaitClass("low", 0, 60, 240)),
    lease_ns=40,
    headroom_bytes=0,
    backfill=3,
    preemption=True,
    min_run_ns=5,
)
PLACES = {"GPU-a": ("gpu", "h1"), "GPU-b": ("gpu", "h1"), "GPU-c": ("gpu", "h2"), "CPU-h1": ("cpu", "h1")}
UUIDS = tuple(PLACES)
HEALTHS = ("UNKNOWN", "HEALTHY", "SUSPECT", "QUARANTINED", "PROBATION", "LOST")
names = st.sampled_from([f"t{n}" for n in range(6)])
agents = st.sampled_from(["x", "y"])


class Ledger(RuleBasedStateMachine):
    """A log that grows by good, stale, wrong and repeated records; each is checked against every law."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State("here", keep_ended_ns=100)
        self.log: list[Head] = []
        self.clock_ns = 1
        self.write(OwnerClaimed(**self.head()))
        for uuid in UUIDS:
            kind, host = (
                ("cpu", "h1") if uuid.startswith("CPU") else ("gpu", "h2" if uuid == "GPU-c" else "h1")
            )
            self.write(
                DeviceSeen(
                    **self.head(), gpu_uuid=uuid, device_kind=kind, host=host, capacity_bytes=16, slots=3
                )
            )
            self.write(HealthChanged(**self.head(), gpu_uuid=uuid, health="HEALTHY"))
        self.scheduler = Scheduler(self.state, POLICY)

    def head(self, *, stale: bool = False) -> dict:
        owner, epoch = self.state.owner or "o1", self.state.epoch or 1
        if stale:
            epoch = max(0, epoch - 1)
        return {"domain": "here", "owner": owner, "epoch": epoch, "at_ns": self.clock_ns}

    def write(self, record: Head) -> None:
        record = decode(encode(record))
        before = self.state.copy()
        verdict = self.state.apply(record)
        self.log.append(record)
        if isinstance(verdict, Ignored):
            assert digest(self.state) == digest(before), f"ignored for {verdict.reason}, and yet it changed"
        else:
            assert broken(before, record, self.state.copy()) is None, record

    @rule(owner=st.sampled_from(["o1", "o2"]), late=st.booleans())
    def claim(self, owner, late):
        head = self.head() | {"owner": owner, "epoch": self.state.epoch + (not late)}
        self.write(OwnerClaimed(**head))

    @rule(
        name=names,
        memory=st.integers(1, 20),
        least=st.integers(1, 20),
        devices=st.integers(1, 3),
        cpu_ok=st.booleans(),
        priority=st.integers(0, 9),
        key=st.sampled_from(["", "k"]),
        deadline=st.sampled_from([0, 30]),
        lane=st.sampled_from(["gpu", "gpu", "cpu"]),
        only_on=st.sampled_from([(), (), ("h1",), ("GPU-b", "GPU-c")]),
        stale=st.booleans(),
    )
    def accept(self, name, memory, least, devices, cpu_ok, priority, key, deadline, lane, only_on, stale):
        self.write(
            TaskAccepted(
                **self.head(stale=stale and self.clock_ns % 3 == 0),
                task_id=name,
                task_type="any",
                submitted_ns=self.clock_ns,
                memory_bytes=memory,
                min_memory_bytes=min(least, memory),
                cpu_bytes=memory,
                devices=devices,
                cpu_ok=cpu_ok,
                priority=priority,
                idempotency_key=key,
                deadline_ns=deadline and self.clock_ns + deadline,
                lane=lane,
                only_on=only_on,
                shrinks=2,
                losses=1,
                preemptions=1,
            )
        )

    @rule(step=st.integers(1, 40))
    def time_passes(self, step):
        self.clock_ns += step
        self.write(Tick(**self.head()))

    @rule(some=st.integers(0, 2**16), twice=st.booleans())
    def decide(self, some, twice):
        """The warm scheduler says what a fresh one does; some of it arrives, some twice, out of order."""
        warm = self.scheduler.decide(self.clock_ns)
        assert warm == decide(self.state, self.clock_ns, POLICY)
        chosen = random.Random(some)
        arriving = [record for record in warm if chosen.random() < 0.8] * (1 + twice)
        chosen.shuffle(arriving)
        for record in arriving:
            self.write(record)

    @rule(uuid=st.sampled_from(UUIDS), health=st.sampled_from((*HEALTHS, "HEALTHY", "HEALTHY")))
    def health(self, uuid, health):
        self.write(HealthChanged(**self.head(), gpu_uuid=uuid, health=health))

    @rule(uuid=st.sampled_from(UUIDS), stopped=st.booleans(), make_room=st.booleans())
    def the_guard_says(self, uuid, stopped, make_room):
        self.write(AdmissionChanged(**self.head(), gpu_uuid=uuid, stopped=stopped, make_room=make_room))

    @rule(
        name=names,
        attempt=st.integers(1, 4),
        agent=agents,
        kind=st.sampled_from([Started, Renewed, Released]),
    )
    def agent_says(self, name, attempt, agent, kind):
        self.write(kind(**self.head(), task_id=name, attempt=attempt, agent=agent))

    @rule(
        name=names,
        attempt=st.integers(1, 4),
        agent=agents,
        end=st.sampled_from(
            [
                ("SUCCEEDED", None),
                ("FAILED", "OUT_OF_MEMORY"),
                ("FAILED", "CRASHED"),
                ("FAILED", "TASK_ERROR"),
                ("CANCELLED", "CANCELLED"),
            ]
        ),
    )
    def attempt_ends(self, name, attempt, agent, end):
        about = {"task_id": name, "attempt": attempt, "agent": agent}
        self.write(Ended(**self.head(), **about, outcome=end[0], failure=end[1]))

    @precondition(lambda self: self.state.leases)
    @rule(
        which=st.integers(0, 5),
        answer=st.sampled_from(
            ["succeed", "start", "start", "succeed", "renew", "memory", "crash", "release"]
        ),
        wrong=st.sampled_from(["", "", "", "", "attempt", "agent"]),
    )
    def the_agent_answers(self, which, answer, wrong):
        """An agent that mostly knows its attempt, so that logs get somewhere."""
        names = sorted(self.state.leases)
        lease = self.state.leases[names[which % len(names)]]
        about = {"task_id": lease.task_id, "attempt": lease.attempt, "agent": lease.agent or "x"}
        about |= {"attempt": {"attempt": lease.attempt + 1}, "agent": {"agent": "y"}}.get(wrong, {})
        ends = {
            "succeed": ("SUCCEEDED", None),
            "memory": ("FAILED", "OUT_OF_MEMORY"),
            "crash": ("FAILED", "CRASHED"),
        }
        if answer in ends:
            outcome, failure = ends[answer]
            self.write(Ended(**self.head(), **about, outcome=outcome, failure=failure))
        else:
            kinds = {"start": Started, "renew": Renewed, "release": Released}
            self.write(kinds[answer](**self.head(), **about))

    @rule(
        name=names,
        attempt=st.integers(1, 4),
        cause=st.sampled_from(["LEASE_EXPIRED", "DEVICE_UNHEALTHY", "PREEMPTED", "MEMORY_LOW"]),
    )
    def reclaim(self, name, attempt, cause):
        self.write(Reclaiming(**self.head(), task_id=name, attempt=attempt, cause=cause))

    @rule(name=names, stale=st.sampled_from([True, True, True, False]))
    def cancel(self, name, stale):
        self.write(CancelRequested(**self.head(stale=stale), task_id=name))

    @precondition(lambda self: self.log)
    @rule(data=st.data())
    def say_it_again(self, data):
        """An old record arrives once more, however late."""
        self.write(self.log[data.draw(st.integers(0, len(self.log) - 1))])

    @rule()
    def snapshot_and_tail_are_the_full_replay(self):
        half = len(self.log) // 2
        early = State("here", keep_ended_ns=100)
        for record in self.log[:half]:
            early.apply(record)
        late = restore(snapshot(early, owner="o1", epoch=1, at_ns=1, basis=half, part_bytes=400))
        for record in self.log[half:]:
            late.apply(record)
        assert digest(late) == digest(self.state)

    @invariant()
    def nothing_waits_longer_than_its_class_allows_once_an_owner_has_decided(self):
        state = self.state.copy()
        for record in decide(state, self.clock_ns, POLICY):
            state.apply(record)
        for task in state.tasks.values():
            waited_ns = self.clock_ns - task.queued_ns
            assert task.state != "QUEUED" or waited_ns < POLICY.wait_class(task).give_up_ns

    def teardown(self):
        again = State("here", keep_ended_ns=100)
        ends: dict[str, int] = {}
        for record in self.log:
            was = {name: task.state for name, task in again.tasks.items()}
            again.apply(record)
            for name, task in again.tasks.items():
                ends[name] = ends.get(name, 0) + (task.state in OVER and was.get(name) not in OVER)
        assert digest(again) == digest(self.state)
        assert fold("elsewhere", self.log) == State("elsewhere")


TestLedger = Ledger.TestCase
TestLedger.settings = settings(max_examples=120, stateful_step_count=50, deadline=None, derandomize=True)
