"""One open alert a device and kind, whatever owners say that have lost their domain."""

from __future__ import annotations

from typing import Any

from orchestrator.guard import OpenAlerts
from schemas.alerts import MemoryAlert


def alert(event: Any, opened_ns: int, *, epoch: int = 1, domain: str = "d", **fields: Any) -> MemoryAlert:
    known = {
        "alert_id": f"GPU-1/device_memory/{opened_ns}",
        "gpu_uuid": "GPU-1",
        "kind": "device_memory",
        "level": "HIGH",
        "used_bytes": 9,
        "capacity_bytes": 10,
        "at_ns": opened_ns,
    }
    return MemoryAlert.model_validate(
        known | {"event": event, "opened_ns": opened_ns, "epoch": epoch, "domain": domain} | fields
    )


def opened(*told: MemoryAlert) -> list[tuple[str, int]]:
    alerts = OpenAlerts()
    for message in told:
        alerts.see(message)
    return [(found.gpu_uuid, found.opened_ns) for found in alerts.open.values()]


def test_an_alert_is_open_from_its_opening_to_its_close() -> None:
    first = alert("opened", 1)
    assert opened(first) == [("GPU-1", 1)]
    assert opened(first, alert("escalated", 1, level="CRITICAL")) == [("GPU-1", 1)]
    assert opened(first, alert("closed", 1)) == []
    assert opened(first, alert("closed", 1), alert("opened", 2)) == [("GPU-1", 2)]


def test_a_second_alert_of_a_memory_takes_the_place_of_the_first() -> None:
    assert opened(alert("opened", 1), alert("opened", 2)) == [("GPU-1", 2)]
    assert opened(alert("opened", 1), alert("opened", 2), alert("closed", 1)) == [("GPU-1", 2)]
    other = alert("opened", 2, kind="torch_reserved")
    assert opened(alert("opened", 1), other) == [("GPU-1", 1), ("GPU-1", 2)]


def test_what_an_earlier_owner_says_late_does_not_count_and_domains_do_not_meet() -> None:
    alerts = OpenAlerts()
    assert alerts.see(alert("opened", 1, epoch=1))
    assert alerts.see(alert("closed", 1, epoch=2))
    assert not alerts.see(alert("opened", 3, epoch=1))
    assert alerts.open == {}
    assert alerts.see(alert("opened", 4, epoch=1, domain="other"))
    assert [found.opened_ns for found in alerts.open.values()] == [4]
