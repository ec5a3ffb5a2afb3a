"""What tests of every folder share: the run's Kafka, and settings that are a test's own."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from schemas.settings import Settings
from streams import admin
from tests.kafka import fresh_prefix, shared_kafka
from tests.orchestrator.fake_gpus import FakeGpus, build

# The same examples in every run, however long one takes.
hypothesis_settings.register_profile("same", derandomize=True, deadline=None)
hypothesis_settings.load_profile("same")


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that the developer has set must not decide a test."""
    for name in list(os.environ):
        if name.startswith("TAPESTREAM_") and not name.startswith("TAPESTREAM_TEST_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[str]:
    """The address of the run's broker, shared by all its tests and workers."""
    base = tmp_path_factory.getbasetemp()
    # Workers have a folder each inside the run's own, which is what they have in common.
    run = base if worker_id == "master" else base.parent
    with shared_kafka(run / "shared-kafka") as address:
        yield address


@pytest.fixture
def settings(kafka: str, tmp_path: Path) -> Settings:
    """Settings of one test: the run's broker, a prefix of its own, 4 partitions."""
    return Settings(broker=kafka, topic_prefix=fresh_prefix(), data_dir=tmp_path, partitions=4)


@pytest.fixture
async def topics_ready(settings: Settings) -> AsyncIterator[None]:
    """All topics of the table exist under the test's prefix; afterwards they are deleted."""
    await admin.ensure_topics(settings)
    yield
    await admin.delete_topics(settings)


@pytest.fixture(scope="session")
def fake_libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("fake-gpu"))


@pytest.fixture
def gpus(fake_libraries: Path, tmp_path: Path) -> FakeGpus:
    """GPUs for machines that have none."""
    return FakeGpus(fake_libraries, tmp_path / "gpus.txt")
