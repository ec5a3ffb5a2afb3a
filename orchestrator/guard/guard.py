"""The guard itself: a fold over samples and changes of policy, whose outputs are messages.

Nothing here reads a clock or sends: the same inputs give the same alerts and commands, with the same ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from orchestrator.guard.forecast import Forecast, Score, SideScore
from orchestrator.guard.policies import (
    AGAIN_AFTER_NS,
    DEFAULT_POLICY,
    END_AFTER_NS,
    LASTING,
    RENEW_AFTER_NS,
    in_force,
)
from orchestrator.guard.thresholds import RANK, THRESHOLDS, Gauge, gauged
from schemas.alerts import AlertEvent, AlertKind, AlertLevel, Crossing, MemoryAlert
from schemas.commands import LAPSES_MS, Action, CleanupCommand, Phase, PolicyCommand, PolicyName
from schemas.devices import DeviceReport

Output = MemoryAlert | CleanupCommand


@dataclass(frozen=True, slots=True)
class Sample:
    """How much of some memory was used at a moment.

    Attributes
    ----------
    kind
        The device's own memory decides what is done; torch's and RMM's alert.
    """

    gpu_uuid: str
    used_bytes: int
    capacity_bytes: int
    at_ns: int
    kind: AlertKind = "device_memory"


def sample_of(report: DeviceReport) -> Sample | None:
    """What a device says of itself as a sample; None of one that does not answer."""
    if not report.memory_bytes or report.free_bytes is None:
        return None
    used_bytes = max(0, report.memory_bytes - report.free_bytes)
    return Sample(report.gpu_uuid, used_bytes, report.memory_bytes, report.at_ns)


@dataclass(slots=True)
class _Watched:
    """One memory of one device."""

    gauge: Gauge = field(default_factory=Gauge)
    forecast: Forecast = field(default_factory=Forecast)
    last: Sample | None = None
    opened_ns: int | None = None


@dataclass(slots=True)
class _Measures:
    """What is under way about a device: lasting measures, and when each was last asked for."""

    lasting: list[Action] = field(default_factory=list)
    asked_ns: dict[Action, int] = field(default_factory=dict)
    critical_ns: int | None = None
    commands: int = 0


class MemoryGuard:
    """Watches memory, raises alerts, and says what is to be done under the policy in force.

    Parameters
    ----------
    policy
        At the start; :meth:`change_policy` changes it.
    step_s
        Seconds between two samples of a device.
    may_end
        Whether it may ask for the end of a process; :func:`schemas.kill_switch.kill_allowed`.
    """

    def __init__(
        self, policy: PolicyName = DEFAULT_POLICY, step_s: float = 1.0, *, may_end: bool = False
    ) -> None:
        self._policy = policy
        self._step_s = step_s
        self._may_end = may_end
        self._watched: dict[tuple[str, AlertKind], _Watched] = {}
        self._measures: dict[str, _Measures] = {}

    @property
    def policy(self) -> PolicyName:
        """The policy in force."""
        return self._policy

    def take(self, sample: Sample) -> list[Output]:
        """One more sample; nothing changes by one without capacity, or less than half a step after the last.

        The latter comes of two that report the same device.
        """
        key = (sample.gpu_uuid, sample.kind)
        watched = self._watched.setdefault(key, _Watched(forecast=Forecast(self._step_s)))
        stale = watched.last is not None and sample.at_ns - watched.last.at_ns < self._step_s * 5e8
        if stale or sample.capacity_bytes <= 0:
            return []
        before = watched.gauge.level
        share = sample.used_bytes / sample.capacity_bytes
        watched.last, watched.gauge = sample, gauged(watched.gauge, share)
        watched.forecast.add(share)
        alerts = self._alerts(watched, before, sample)
        commands = self._commands(sample.gpu_uuid, sample.at_ns) if sample.kind == "device_memory" else []
        return [*alerts, *commands]

    def change_policy(self, command: PolicyCommand) -> list[Output]:
        """Follow another policy from now on; what it asks for beside or instead is asked at once."""
        self._policy = command.policy
        return [out for uuid in sorted(self._measures) for out in self._commands(uuid, command.at_ns)]

    def adopt(self, alert: MemoryAlert) -> None:
        """Go on with what another guard said last of a memory; its measures begin with the next sample."""
        watched = self._watched.setdefault(
            (alert.gpu_uuid, alert.kind), _Watched(forecast=Forecast(self._step_s))
        )
        is_open = alert.event != "closed"
        watched.gauge = Gauge(alert.level if is_open else None, watched.gauge.recent)
        watched.opened_ns = alert.opened_ns if is_open else None
        if watched.last is None:
            watched.last = Sample(
                alert.gpu_uuid, alert.used_bytes, alert.capacity_bytes, alert.at_ns, alert.kind
            )

    @property
    def devices(self) -> list[str]:
        """Those that are watched."""
        return sorted({gpu_uuid for gpu_uuid, _ in self._watched})

    def in_force(self, gpu_uuid: str) -> tuple[Action, ...]:
        """What is done about a device now."""
        return in_force(self._policy, self.level(gpu_uuid))

    def forget(self, gpu_uuid: str, at_ns: int, reason: str) -> list[Output]:
        """A device that is gone: its alerts are closed and its measures end."""
        outputs: list[Output] = []
        for key in [key for key in self._watched if key[0] == gpu_uuid]:
            watched = self._watched.pop(key)
            level, last = watched.gauge.level, watched.last
            if level is not None and last is not None:
                outputs.append(self._alert(watched, "closed", level, last, at_ns=at_ns, reason=reason))
        outputs += self._commands(gpu_uuid, at_ns)
        self._measures.pop(gpu_uuid, None)
        return outputs

    def level(self, gpu_uuid: str, kind: AlertKind = "device_memory") -> AlertLevel | None:
        """The level of a device now."""
        watched = self._watched.get((gpu_uuid, kind))
        return watched.gauge.level if watched else None

    def crossings(self, gpu_uuid: str, kind: AlertKind = "device_memory") -> list[Crossing]:
        """When each level that is not reached yet is expected to be."""
        watched = self._watched.get((gpu_uuid, kind))
        return _ahead(watched, watched.gauge.level) if watched else []

    def scores(self, gpu_uuid: str, kind: AlertKind = "device_memory") -> Sequence[Score]:
        """How good the forecasts of a device have been."""
        watched = self._watched.get((gpu_uuid, kind))
        return watched.forecast.scores() if watched else ()

    def side_scores(
        self, gpu_uuid: str, level: AlertLevel, kind: AlertKind = "device_memory"
    ) -> Sequence[SideScore]:
        """How often they named the wrong side of a level's threshold."""
        watched = self._watched.get((gpu_uuid, kind))
        return watched.forecast.side_scores(level) if watched else ()

    def last(self, gpu_uuid: str, kind: AlertKind = "device_memory") -> Sample | None:
        """The latest sample that counted."""
        watched = self._watched.get((gpu_uuid, kind))
        return watched.last if watched else None

    def _alerts(self, watched: _Watched, before: AlertLevel | None, sample: Sample) -> list[Output]:
        level = watched.gauge.level
        if level == before:
            return []
        if level is None and before is not None:
            closed = self._alert(watched, "closed", before, sample)
            watched.opened_ns = None
            return [closed]
        assert level is not None
        if before is None:
            watched.opened_ns = sample.at_ns
            return [self._alert(watched, "opened", level, sample)]
        event: AlertEvent = "escalated" if RANK[level] > RANK[before] else "eased"
        return [self._alert(watched, event, level, sample)]

    def _alert(
        self,
        watched: _Watched,
        event: AlertEvent,
        level: AlertLevel,
        sample: Sample,
        *,
        at_ns: int | None = None,
        reason: str = "",
    ) -> MemoryAlert:
        opened_ns = sample.at_ns if watched.opened_ns is None else watched.opened_ns
        share = sample.used_bytes / sample.capacity_bytes
        return MemoryAlert(
            alert_id=f"{sample.gpu_uuid}/{sample.kind}/{opened_ns}",
            gpu_uuid=sample.gpu_uuid,
            kind=sample.kind,
            event=event,
            level=level,
            used_bytes=sample.used_bytes,
            capacity_bytes=sample.capacity_bytes,
            opened_ns=opened_ns,
            at_ns=sample.at_ns if at_ns is None else at_ns,
            forecast=[] if event == "closed" else _ahead(watched, level),
            skill={
                str(score.steps): round(score.skill, 3)
                for score in watched.forecast.scores()
                if score.skill is not None
            },
            reason=reason or f"{share:.1%} of {sample.capacity_bytes / (1 << 30):.1f} GiB used",
        )

    def _commands(self, gpu_uuid: str, at_ns: int) -> list[Output]:
        """What changes about the measures: lasting ones begin and end, others are asked for in their time."""
        level = self.level(gpu_uuid)
        measures = self._measures.setdefault(gpu_uuid, _Measures())
        if level != "CRITICAL":
            measures.critical_ns = None
        elif measures.critical_ns is None:
            measures.critical_ns = at_ns
        wanted = [
            action
            for action in in_force(self._policy, level)
            if action != "end_process" or self._may_end_one(measures, at_ns)
        ]
        lasting = [action for action in wanted if action in LASTING]
        ended = [action for action in measures.lasting if action not in lasting]
        begun = [action for action in lasting if action not in measures.lasting]
        renewed = [
            action
            for action in lasting
            if action not in begun and at_ns - measures.asked_ns[action] >= RENEW_AFTER_NS
        ]
        due = [
            action
            for action in wanted
            if action not in LASTING
            and at_ns - measures.asked_ns.get(action, -AGAIN_AFTER_NS) >= AGAIN_AFTER_NS
        ]
        measures.lasting = lasting
        measures.asked_ns |= dict.fromkeys((*begun, *renewed, *due), at_ns)
        asked: list[tuple[Phase, list[Action]]] = [("begin", begun), ("renew", renewed), ("once", due)]
        phases = {action: phase for phase, actions in asked for action in actions}
        # What was begun last ends first, so that admission is open again before partitions resume.
        steps: list[tuple[Action, Phase]] = [(action, "end") for action in reversed(ended)]
        steps += [(action, phases[action]) for action in wanted if action in phases]
        outputs: list[Output] = []
        for action, phase in steps:
            measures.commands += 1
            outputs.append(
                CleanupCommand(
                    command_id=f"{gpu_uuid}/{at_ns}/{measures.commands}",
                    gpu_uuid=gpu_uuid,
                    action=action,
                    phase=phase,
                    lapses_ms=LAPSES_MS if phase in ("begin", "renew") else None,
                    level=level,
                    policy=self._policy,
                    at_ns=at_ns,
                )
            )
        return outputs

    def _may_end_one(self, measures: _Measures, at_ns: int) -> bool:
        since_ns = measures.critical_ns
        return self._may_end and since_ns is not None and at_ns - since_ns >= END_AFTER_NS


def _ahead(watched: _Watched, level: AlertLevel | None) -> list[Crossing]:
    return watched.forecast.crossings([row.level for row in THRESHOLDS if RANK[row.level] > RANK[level]])
