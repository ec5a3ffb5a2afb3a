"""The embedded Kafka: durable, alone in its folder, and never left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from schemas.errors import BrokerStartError
from schemas.settings import Settings
from streams import admin, clients, topics
from streams.broker import EmbeddedBroker
from tests.kafka import ROOT, wait_until

pytestmark = pytest.mark.kafka


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose name has what file names may have."""
    return tmp_path / "Märkte & Kurse" / "kafka"


@pytest.fixture
def broker(folder: Path) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(folder, port=0) as started:
        yield started


def settings_of(broker: EmbeddedBroker, **more: object) -> Settings:
    return Settings(broker=broker.address, partitions=2, **more)  # type: ignore[arg-type]


async def write(settings: Settings, *values: bytes) -> None:
    await admin.ensure_topics(settings, topics.TICKS)
    async with clients.started(settings, clients.producer(settings)) as producer:
        for value in values:
            await producer.send_and_wait(topics.TICKS, value, partition=0)


async def read(settings: Settings, count: int) -> list[bytes]:
    async with clients.started(settings, clients.consumer(settings, topics.TICKS)) as consumer:
        return [(await consumer.getone()).value for _ in range(count)]


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid)


async def test_what_was_written_survives_a_stop_and_a_new_start(folder: Path) -> None:
    with EmbeddedBroker(folder, port=0) as broker:
        await write(settings_of(broker), b"one", b"two")
        pids = broker.pids
    assert all(gone(pid) for pid in pids)
    assert not broker.alive
    with EmbeddedBroker(folder, port=0) as broker:
        assert await read(settings_of(broker), 2) == [b"one", b"two"]


async def test_what_was_acknowledged_survives_sigkill_and_a_restart_on_the_same_port(
    broker: EmbeddedBroker,
) -> None:
    address, [pid] = broker.address, broker.pids
    await write(settings_of(broker), b"one", b"two")
    broker.kill()
    assert gone(pid)
    assert not broker.alive
    broker.restart()
    assert broker.address == address
    await write(settings_of(broker), b"three")
    assert await read(settings_of(broker), 3) == [b"one", b"two", b"three"]


def test_a_second_broker_on_the_same_folder_is_refused(broker: EmbeddedBroker, folder: Path) -> None:
    with pytest.raises(BrokerStartError, match=f"in use by another broker, of process {os.getpid()}"):
        EmbeddedBroker(folder, port=0).start()
    with pytest.raises(BrokerStartError, match="started already"):
        broker.start()
    assert broker.alive


OWNER = """
import sys, time
from pathlib import Path
from streams.broker import EmbeddedBroker
broker = EmbeddedBroker(Path(sys.argv[1]), port=0).start()
print(*broker.pids, flush=True)
time.sleep(600)
"""


def test_an_owner_that_is_killed_leaves_no_java_and_the_folder_can_be_used_at_once(folder: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, folder], cwd=ROOT, stdout=subprocess.PIPE)
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    supervisor = psutil.Process(pid).ppid()
    owner.kill()
    owner.wait()
    owner.stdout.close()
    # The new one waits for the old one, which still ends in good order, instead of running into it.
    with EmbeddedBroker(folder, port=0) as broker:
        assert gone(pid)
        assert broker.alive
    wait_until(lambda: gone(supervisor), "the supervisor of the old broker has ended")


def test_a_supervisor_that_is_killed_takes_java_with_it(broker: EmbeddedBroker) -> None:
    [pid] = broker.pids
    os.kill(psutil.Process(pid).ppid(), signal.SIGKILL)
    wait_until(lambda: gone(pid), "the Java process is gone")
    assert not broker.alive


def test_a_broker_that_is_not_up_in_time_is_ended_and_its_log_named(folder: Path) -> None:
    broker = EmbeddedBroker(folder, port=0, start_timeout_s=0.01)
    with pytest.raises(BrokerStartError, match=r"not up after 0\.01 s") as caught:
        broker.start()
    assert "server.log" in caught.value.remedy
    assert broker.pids == ()


def test_what_kafka_says_against_its_configuration_is_told(folder: Path) -> None:
    with pytest.raises(BrokerStartError, match="Invalid value nonsense") as caught:
        EmbeddedBroker(folder, port=0, extra={"num.io.threads": "nonsense"}).start()
    assert "\n" not in str(caught.value)


def test_a_port_taken_behind_our_back_is_told_as_kafka_tells_it(
    folder: Path, kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.broker.ports.is_free", lambda _port: True)
    with pytest.raises(BrokerStartError, match="Address already in use"):
        EmbeddedBroker(folder, port=int(kafka.rpartition(":")[2])).start()


async def test_three_nodes_lose_one_and_go_on_and_take_it_back(folder: Path) -> None:
    with EmbeddedBroker(folder, port=0, nodes=3, heap_mb=256) as broker:
        settings = settings_of(broker, replication_factor=3)
        await write(settings, b"one")
        broker.kill(2)
        assert len(broker.pids) == 2
        await write(settings, b"two")
        broker.restart(2)
        assert broker.alive
        assert await read(settings, 2) == [b"one", b"two"]
