"""`tapestream replay-decisions`: decisions derived anew from the log, or under another policy."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from orchestrator.policies import named_policy, recorded_policy
from orchestrator.replay import Entry, Replay, replay_decisions, what_if
from schemas import codec
from schemas.errors import LedgerError
from schemas.settings import load_settings
from tapestream.allocation_log import Ledgers, read_all


def run(
    policy: Annotated[
        str | None, typer.Option(help="Ask what this one would have done: a name, or module:Class.")
    ] = None,
    first: Annotated[int, typer.Option("--from", min=0, help="Compare decisions from this offset on.")] = 0,
    last: Annotated[int | None, typer.Option("--to", min=0, help="Up to this offset, included.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a domain, one a line.")] = False,
) -> None:
    """Derive every decision from what it says that it rests on, and name the first that differs.

    With --policy: simulate the log's requests under its own policy and under that one, and compare waits,
    utilisation and refusals. Exit code 7 when a decision differs.
    """
    log = asyncio.run(read_all(load_settings(), lambda text: typer.echo(text, err=True)))
    if policy is not None:
        log = [(offset, record) for offset, record in log if last is None or offset <= last]
    for domain in sorted({record.domain for _, record in log}):
        if policy is None:
            _check(log, domain, first, last, as_json)
        else:
            _compare(log, domain, policy, as_json)
    if not log and not as_json:
        typer.echo("the log is empty")


def _check(log: list[Entry], domain: str, first: int, last: int | None, as_json: bool) -> None:
    found = replay_decisions(log, domain, first=first, last=last)
    if as_json:
        typer.echo(codec.dumps(summary(domain, found)).decode())
    elif found.difference is None:
        typer.echo(
            f"{domain}: {found.decisions:,} decisions in {found.batches:,} batches follow from the log; "
            f"{found.accepted:,} of {found.records:,} records count; state {found.digest}"
        )
    if found.difference is not None:
        raise LedgerError(
            f"{domain} {found.difference}", "the policy or the program that decided was another"
        )


def summary(domain: str, found: Replay) -> dict[str, Any]:
    """What deriving a domain's decisions anew came to, as plain data."""
    difference = found.difference
    return {
        "domain": domain,
        "records": found.records,
        "accepted": found.accepted,
        "ignored": dict(sorted(found.ignored.items())),
        "batches": found.batches,
        "decisions": found.decisions,
        "digest": found.digest,
        "difference": None
        if difference is None
        else {"offset": difference.offset, "name": difference.name, "detail": difference.detail},
    }


def _compare(log: list[Entry], domain: str, name: str, as_json: bool) -> None:
    ledgers = Ledgers()
    for _, record in log:
        ledgers.apply(record)
    state = ledgers.states[domain]
    own = recorded_policy(state.policy, state.policy_options) if state.policy else named_policy("default")
    rows: list[dict[str, Any]] = [
        what_if(log, domain, chosen).summary() for chosen in (own, named_policy(name))
    ]
    if as_json:
        typer.echo(codec.dumps({"domain": domain, "simulated": rows}).decode())
        return
    typer.echo(f"{domain}, simulated with the running times of the log:")
    for row in rows:
        refused = ", ".join(f"{count} {failure}" for failure, count in row["rejected"].items()) or "none"
        typer.echo(
            f"  {row['policy']}: {row['granted']} grants for {row['tasks']} tasks, "
            f"{row['utilisation']:.1%} of the GPUs' bytes promised, refused: {refused}"
        )
        for kind, wait in row["waits_ms"].items():
            typer.echo(
                f"    {kind}: {wait['tasks']} tasks, wait p50 {wait['p50']:.1f} ms, p99 {wait['p99']:.1f} ms"
            )
