"""`tapestream broker`, `topics` and `lag` as a user runs them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from schemas.settings import Settings
from streams.broker.ports import free_ports
from tests.kafka import ROOT, wait_until

pytestmark = pytest.mark.kafka


def tapestream(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tapestream.cli", *words],
        cwd=ROOT,
        env=os.environ | {f"TAPESTREAM_{name}": value for name, value in environment.items()},
        capture_output=True,
        text=True,
        timeout=120,
    )


def environment_of(settings: Settings, **more: str) -> dict[str, str]:
    return {
        "BROKER": settings.broker,
        "TOPIC_PREFIX": settings.topic_prefix,
        "PARTITIONS": str(settings.partitions),
    } | more


@contextmanager
def running_broker(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, object]]]:
    """The command, and what it says when it is up."""
    command = [
        sys.executable,
        "-m",
        "tapestream.cli",
        "broker",
        "--data-dir",
        str(folder),
        "--json",
        *options,
    ]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def end(process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    return process.returncode, said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_broker_in_good_order_and_with_success(
    tmp_path: Path, number: signal.Signals
) -> None:
    with running_broker(tmp_path, "--port", "0") as (process, up):
        assert end(process, number) == (0, "stopped; the data is kept\n")
    assert not any(psutil.pid_exists(pid) for pid in up["pids"])  # type: ignore[attr-defined]
    assert list(tmp_path.glob("kafka/node-1/log/.kafka_cleanshutdown"))


def test_a_node_that_ends_by_itself_ends_the_command_with_the_brokers_exit_code(tmp_path: Path) -> None:
    with running_broker(tmp_path, "--port", "0") as (process, up):
        os.kill(up["pids"][0], signal.SIGKILL)  # type: ignore[index]
        _, said = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "ended by itself" in said


def test_a_killed_command_leaves_no_java(tmp_path: Path) -> None:
    with running_broker(tmp_path, "--port", "0") as (process, up):
        process.kill()
        process.wait()
        wait_until(lambda: not any(psutil.pid_exists(pid) for pid in up["pids"]), "Java is gone")  # type: ignore[attr-defined]


def test_a_taken_port_is_one_line_with_a_remedy(tmp_path: Path, kafka: str) -> None:
    port = kafka.rpartition(":")[2]
    shown = tapestream("broker", "--port", port, DATA_DIR=str(tmp_path))
    assert shown.returncode == 3
    [line] = shown.stderr.splitlines()
    assert line.startswith(f"error: port {port} of 127.0.0.1 is taken")


def test_topics_are_created_then_found_then_as_declared(settings: Settings) -> None:
    given = environment_of(settings)
    assert tapestream("topics", "check", **given).returncode == 4
    made = json.loads(tapestream("topics", "create", "--json", **given).stdout)["created"]
    assert settings.topic_prefix + "market.ticks" in made
    assert tapestream("topics", "create", **given).stdout == "all topics are there\n"
    assert tapestream("topics", "check", **given).stdout == f"{len(made)} topics are as declared\n"
    shown = json.loads(tapestream("topics", "describe", "--json", **given).stdout)["topics"]
    assert [topic["name"] for topic in shown] == made
    assert settings.topic_prefix + "market.ticks" in tapestream("topics", "describe", **given).stdout


def test_other_partitions_than_set_are_refused_by_name(settings: Settings) -> None:
    tapestream("topics", "create", **environment_of(settings))
    other = environment_of(settings, PARTITIONS="3")
    shown = tapestream("topics", "create", **other)
    assert shown.returncode == 4
    assert "partition count is 4, declared 3" in shown.stderr
    differences = json.loads(tapestream("topics", "check", "--json", **other).stdout)["differences"]
    assert {difference["what"] for difference in differences} == {"partition count"}


def test_the_lag_of_the_workers_is_shown_and_is_json_on_request(settings: Settings) -> None:
    given = environment_of(settings)
    tapestream("topics", "create", **given)
    assert "0 messages, 0.0 s behind" in tapestream("lag", **given).stdout
    shown = json.loads(tapestream("lag", "--json", **given).stdout)
    assert (shown["messages"], shown["seconds"], len(shown["partitions"])) == (0, 0.0, 4)


@pytest.mark.parametrize(
    "words",
    [
        ("topics", "check"),
        ("lag",),
        ("verify",),
        ("dead-letters", "list"),
        ("task", "list"),
        ("task", "submit", "echo", "{}"),
    ],
)
def test_without_a_broker_the_error_is_one_line_with_a_remedy(words: tuple[str, ...]) -> None:
    nobody = f"127.0.0.1:{free_ports(1)[0]}"
    shown = tapestream(*words, BROKER=nobody)
    assert shown.returncode == 3
    [line] = shown.stderr.splitlines()
    assert line.startswith(f"error: no Kafka answers at {nobody}")
    assert "tapestream broker" in line
