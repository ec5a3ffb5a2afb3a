"""The API and the orchestrators begin at the newest usable snapshot, and come to the whole log's state."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.ledger import fold
from orchestrator.ledger_bases import bases
from orchestrator.ledger_log import LedgerLog
from schemas.allocations import Head, encode
from schemas.settings import Settings
from streams import topics
from streams.log_writer import log_writer
from tests.integration.test_api import running
from tests.orchestrator.test_ledger_bases import LOG, break_digest, taken_at
from tests.workers import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.usefixtures("topics_ready")]

CUT = 30
GOOD, BROKEN = taken_at(CUT), break_digest(taken_at(CUT + 5))


async def write(settings: Settings, *records: Head) -> None:
    async with log_writer(settings) as writer:
        await writer.write(topics.ALLOCATIONS, "here", [encode(record) for record in records], partition=0)


@pytest.mark.parametrize(
    ("snapshots", "begins_after"),
    [((), None), (GOOD, CUT), (BROKEN, None), ((*GOOD, *BROKEN), CUT), (GOOD[:-1], None)],
    ids=["none", "good", "broken", "broken after a good one", "torn"],
)
async def test_all_who_fold_the_log_come_to_its_state(
    settings: Settings, snapshots: tuple[Head, ...], begins_after: int | None
) -> None:
    await write(settings, *LOG, *snapshots)
    whole, found = fold("here", LOG), await bases(settings, "here")
    assert {name: base.basis for name, base in found.items()} == (
        {} if begins_after is None else {"here": begins_after}
    )
    async with log_writer(settings) as writer, LedgerLog(settings, "here", writer) as ledger:

        async def caught_up() -> bool:
            ledger.fold()
            await asyncio.sleep(0)
            return ledger.caught_up

        await eventually(caught_up, "the log is folded")
        assert ledger.state == whole
    async with running(settings) as (api, address, session):
        assert api.model.decisions.domains == {"here": whole}
        async with session.get(f"{address}/gpu/stats") as reply:
            stats = await reply.json()
        async with session.get(f"{address}/gpu/allocations?limit=500") as reply:
            page = await reply.json()
    assert sum(stats["tasks"].values()) == len(whole.tasks)
    assert {lease["task_id"] for lease in page["leases"]} == set(whole.leases)
    # Its list of decisions wants more of them than there are after the snapshot, and takes what it gets.
    oldest = page["decisions"][-1]["offset"]
    assert oldest == 0 if begins_after is None else oldest > begins_after
