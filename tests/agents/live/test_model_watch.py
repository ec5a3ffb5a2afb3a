"""What is promoted in the registry is announced once to each partition that is at another model."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from agents.live.library import RegistryLibrary
from agents.live.watch import ModelWatch
from agents.models.registry import Registry
from schemas.errors import DeliveryError, ModelError
from schemas.promotions import Promotion
from tests.agents.live.making import a_model

WINDOWS_NS = (100_000_000, 1_000_000_000)


class Log:
    """The logs of some partitions; a partition reads when it is told to."""

    def __init__(self, *partitions: int) -> None:
        self.at: dict[int, Promotion | None] = dict.fromkeys(partitions)
        self.written: list[tuple[int, str]] = []
        self.away = False

    async def announce(self, partition: int, promotion: Promotion) -> int:
        if self.away:
            raise DeliveryError("not written")
        self.written.append((partition, promotion.version))
        return len(self.written) - 1


def watch_of(log: Log, folder: Path) -> ModelWatch:
    return ModelWatch(RegistryLibrary(folder), WINDOWS_NS, 0, lambda: log.at, log.announce)


async def test_a_promotion_is_announced_once_to_each_partition(tmp_path: Path) -> None:
    registry, log = Registry(tmp_path), Log(2, 5)
    watch = watch_of(log, tmp_path)
    await watch.look()
    registry.promote(registry.save(a_model(1), {}))
    await watch.look()
    await watch.look()
    assert log.written == [(2, "v0001"), (5, "v0001")]
    log.at = dict.fromkeys((2, 5), RegistryLibrary(tmp_path).promoted())
    registry.promote(registry.save(a_model(2), {}))
    await watch.look()
    registry.roll_back()
    await watch.look()
    assert log.written[2:] == [(2, "v0002"), (5, "v0002")]  # v0001 is what they are still at


async def test_a_partition_that_comes_back_at_another_model_is_told_again(tmp_path: Path) -> None:
    registry, log = Registry(tmp_path), Log(0)
    registry.promote(registry.save(a_model(1), {}))
    watch = watch_of(log, tmp_path)
    await watch.look()
    log.at = {}
    await watch.look()
    log.at = {0: None}
    await watch.look()
    assert log.written == [(0, "v0001"), (0, "v0001")]


async def test_a_broker_that_is_away_is_asked_again(tmp_path: Path) -> None:
    registry, log = Registry(tmp_path), Log(0)
    registry.promote(registry.save(a_model(1), {}))
    watch = watch_of(log, tmp_path)
    log.away = True
    await watch.look()
    log.away = False
    await watch.look()
    assert log.written == [(0, "v0001")]


def _damage(folder: Path) -> None:
    (folder / "models" / "v0001" / "model.safetensors").write_bytes(b"nothing")


def _lose_the_pointer(folder: Path) -> None:
    (folder / "models" / "promoted.json").write_text("[]")


@pytest.mark.parametrize(
    ("bar_ms", "spoil", "problem"),
    [
        (100, _damage, "is not the file that its card describes"),
        (100, _lose_the_pointer, "models.promoted.json: is no JSON object"),
        (250, lambda _: None, "it scores bars of 250 ms, there are windows of 100 ms, 1000 ms"),
    ],
)
async def test_a_model_that_cannot_be_used_is_said_once_and_not_announced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, bar_ms: int, spoil, problem: str
) -> None:
    registry, log = Registry(tmp_path), Log(0)
    registry.promote(registry.save(a_model(1, bar_ms=bar_ms), {}))
    spoil(tmp_path)
    watch = watch_of(log, tmp_path)
    with caplog.at_level(logging.ERROR, "tapestream.worker"):
        await watch.look()
        await watch.look()
    assert log.written == []
    assert [problem in record.message for record in caplog.records] == [True]


def test_another_registrys_model_of_the_same_name_is_refused(tmp_path: Path) -> None:
    here, there = Registry(tmp_path / "here"), Registry(tmp_path / "there")
    here.promote(here.save(a_model(1), {}))
    there.promote(there.save(a_model(2), {}))
    promotion = RegistryLibrary(tmp_path / "here").promoted()
    assert promotion is not None
    with pytest.raises(ModelError, match="has other weights than the model that was promoted"):
        RegistryLibrary(tmp_path / "there").open(promotion)
