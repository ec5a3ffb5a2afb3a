"""All children together: start, watch, restart, stop in order.

Nothing here waits but :meth:`Family.stop`: whoever runs the loop calls :meth:`Family.look` now and then.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from schemas.errors import ChildError
from tapestream.up.child import Child, Plan
from tapestream.up.restarts import Crashes

POLL_S = 0.05
KILL_PATIENCE_S = 10.0
CONNECT_PATIENCE_S = 0.2

Say = Callable[[str], None]


@dataclass(slots=True)
class Member:
    """A child's place in the family, which outlives its processes."""

    plan: Plan
    child: Child | None = None
    started_s: float = 0.0
    crashes: Crashes = field(default_factory=Crashes)
    due_s: float | None = None
    announced: bool = False
    asked: bool = False
    done: bool = False


class Family:
    """The children of one run.

    Parameters
    ----------
    folder
        Where their log files go.
    environment
        Variables that they get on top of ours.
    grace_s
        How long each may take to end when asked to.
    say
        Told what happens, a line at a time.
    host
        Where their pages listen, for the addresses that are told.
    program
        What is run; our own command line when empty.
    clock
        Seconds that only rise.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        grace_s: float,
        say: Say,
        host: str = "127.0.0.1",
        program: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._environment, self._grace_s = folder, environment, grace_s
        self._say, self._host, self._program, self._clock = say, host, program, clock
        self._members: dict[str, Member] = {}
        self._hurried = False

    def __enter__(self) -> Family:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, plans: Iterable[Plan]) -> None:
        """Start children, stage after stage."""
        for plan in sorted(plans, key=lambda plan: plan.stage):
            self._members[plan.name] = member = Member(plan)
            self._start(member)

    def _start(self, member: Member) -> None:
        log = self.log_file(member.plan.name)
        member.child = Child(member.plan, log, self._environment, self._grace_s, self._program)
        member.started_s, member.due_s, member.announced = self._clock(), None, False

    def log_file(self, name: str) -> Path:
        """Where the output of a child goes."""
        return self._folder / f"{name}.log"

    def child(self, name: str) -> Child | None:
        """The running or last process of a child."""
        return self._members[name].child

    def pages(self) -> dict[str, str]:
        """Child to the address of its pages, for those whose port is known."""
        found = {}
        for name, member in self._members.items():
            port = member.child.port() if member.child else None
            if port is not None:
                found[name] = f"http://{self._host}:{port}"
        return found

    def look(self) -> None:
        """See who has ended, and start again who is due.

        Raises
        ------
        ChildError
            When a child has ended too often in a row, or one that is expected to end did so in error.
        """
        now = self._clock()
        for member in self._members.values():
            child = member.child
            if member.done:
                continue
            if member.due_s is not None:
                if now >= member.due_s:
                    self._start(member)
            elif child is not None and not child.alive():
                self._ended(member, child, now)
            elif child is not None and not member.announced and self._listens(child.port()):
                member.announced = True
                self._say(f"{member.plan.name} is up: http://{self._host}:{child.port()}/")

    def _listens(self, port: int | None) -> bool:
        if port is None:
            return False
        with socket.socket() as probe:
            probe.settimeout(CONNECT_PATIENCE_S)
            return probe.connect_ex((self._host, port)) == 0

    def _ended(self, member: Member, child: Child, now: float) -> None:
        name, code = member.plan.name, child.returncode
        if not member.plan.restart:
            member.done = True
            if code and not member.asked:
                raise ChildError(
                    f"{name} ended with code {code}: {child.last_words()}", f"see {child.log_file}"
                )
            return
        member.crashes = member.crashes.after(now - member.started_s)
        if member.crashes.hopeless:
            raise ChildError(
                f"{name} ended {member.crashes.count} times in a row, with code {code}: {child.last_words()}",
                f"see {child.log_file}",
            )
        member.due_s = now + member.crashes.delay_s
        if code is not None and code < 0:
            why = f"was killed by signal {-code}"
        else:
            why = f"ended with code {code}: {child.last_words()}"
        self._say(f"{name} {why}; again in {member.crashes.delay_s:g} s ({child.log_file})")

    def running(self, name: str) -> bool:
        """Whether a child runs now."""
        child = self._members[name].child
        return child is not None and child.alive()

    def hurry(self) -> None:
        """Kill instead of waiting; for a second Ctrl-C, while :meth:`stop` is at work."""
        self._hurried = True

    def stop(self) -> None:
        """End all children, the last stage first; each stage has ended before the next is asked.

        What does not end within the grace is killed. Harmless when they have ended.
        """
        for stage in sorted({member.plan.stage for member in self._members.values()}, reverse=True):
            self.stop_stage(stage)
        self._members.clear()

    def stop_stage(self, stage: int) -> None:
        """End the children of one stage; as :meth:`stop` does with each in turn."""
        members = [member for member in self._members.values() if member.plan.stage == stage]
        children = [m.child for m in members if m.child is not None and m.child.alive()]
        for member in members:
            member.due_s, member.asked = None, True
        if not children:
            return
        self._say(f"draining {', '.join(child.plan.name for child in children)}")
        for child in children:
            child.ask_to_stop()
        deadline = self._clock() + self._grace_s + KILL_PATIENCE_S
        while (left := [child for child in children if child.alive()]) and self._clock() < deadline:
            if self._hurried:
                for child in left:
                    child.kill()
            time.sleep(POLL_S)
        for child in children:
            # Asked to end by SIGTERM, some do not catch it and some say that they were interrupted.
            if child.returncode not in (0, -15, 143, 130):
                self._say(f"{child.plan.name} ended with code {child.returncode}: {child.last_words()}")
