"""Which alerts are open, by what is on ``gpu.memory.alerts``: the fold that every reader of the topic runs.

A memory of a device has at most one open alert, whatever owners say that have lost their domain meanwhile:
what comes of an earlier epoch than the latest heard does not count, and an alert that is opened beside
another takes its place.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.alerts import AlertKind, MemoryAlert

Memory = tuple[str, AlertKind]
"""Device, and whose memory on it."""


@dataclass(slots=True)
class OpenAlerts:
    """The open alerts of all domains.

    Attributes
    ----------
    open
        By memory, the last message of each; the latest change last.
    """

    open: dict[tuple[str, *Memory], MemoryAlert] = field(default_factory=dict)
    _epochs: dict[str, int] = field(default_factory=dict)

    def see(self, alert: MemoryAlert) -> bool:
        """Take the next message of the topic in; False when it does not count."""
        if alert.epoch < self._epochs.get(alert.domain, 0):
            return False
        self._epochs[alert.domain] = alert.epoch
        place = (alert.domain, alert.gpu_uuid, alert.kind)
        before = self.open.get(place)
        if alert.event != "closed":
            self.open.pop(place, None)
            self.open[place] = alert
        elif before is not None and before.alert_id == alert.alert_id:
            del self.open[place]
        return True
