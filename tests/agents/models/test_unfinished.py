"""What a killed training left is there for who comes back in time, and gone after that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agents.models.evaluation import Plan
from agents.models.metrics import Costs
from agents.models.registry import Registry
from agents.models.train import train, work_folder
from agents.models.training import Training
from agents.models.unfinished import FOLDER, KEPT_S, owned, owned_file, remove, sweep, unfinished
from schemas.errors import ModelError
from tests.agents.models.planted import momentum

NOW_S = 1_800_000_000.0
OLD_S, YOUNG_S = NOW_S - KEPT_S - 1, NOW_S - KEPT_S + 1

HOLDER = """
import sys
from pathlib import Path
from agents.models.unfinished import owned
with owned(Path(sys.argv[1]), "key") as folder:
    (folder / "seed.safetensors").write_bytes(b"half")
    print("owned", flush=True)
    sys.stdin.read()
"""


def leave(models: Path, name: str, written_s: float) -> None:
    """What a training of that name saved at that time."""
    entry = unfinished(models, name)
    if name.endswith(".parquet"):
        entry.parent.mkdir(parents=True, exist_ok=True)
        entry.write_bytes(b"bars")
    else:
        entry.mkdir(parents=True)
        (entry / "seed.safetensors").write_bytes(b"half")
    age(models, name, written_s)


def age(models: Path, name: str, written_s: float) -> None:
    entry = unfinished(models, name)
    for path in (*entry.rglob("*"), entry):
        os.utime(path, (written_s, written_s))


def there(models: Path) -> list[str]:
    return sorted(entry.name for entry in (models / FOLDER).iterdir())


@contextmanager
def another_process(models: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that owns the training ``key``."""
    command = [sys.executable, "-c", HOLDER, str(models)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "owned\n"
        try:
            yield process
        finally:
            process.kill()


def test_what_was_left_is_kept_for_a_week_and_then_swept(tmp_path: Path) -> None:
    for name in ("old", "task-old.parquet"):
        leave(tmp_path, name, OLD_S)
    for name in ("young", "task-young.parquet"):
        leave(tmp_path, name, YOUNG_S)
    assert sweep(tmp_path, NOW_S) == ["old", "task-old.parquet"]
    assert there(tmp_path) == ["task-young.parquet", "young"]
    assert sweep(tmp_path / "nowhere", NOW_S) == []


def test_one_young_checkpoint_keeps_its_folder(tmp_path: Path) -> None:
    leave(tmp_path, "key", OLD_S)
    young = unfinished(tmp_path, "key") / "other-seed.safetensors"
    young.write_bytes(b"half")
    os.utime(young, (YOUNG_S, YOUNG_S))
    os.utime(young.parent, (OLD_S, OLD_S))
    assert (sweep(tmp_path, NOW_S), there(tmp_path)) == ([], ["key"])


def test_a_live_process_keeps_what_it_owns_however_old_and_a_killed_one_does_not(tmp_path: Path) -> None:
    with another_process(tmp_path) as process:
        age(tmp_path, "key", OLD_S)
        assert sweep(tmp_path, NOW_S) == []
        remove(tmp_path, "key")
        assert there(tmp_path) == ["key"]
        process.send_signal(signal.SIGKILL)
        process.wait()
        age(tmp_path, "key", YOUNG_S)
        assert (sweep(tmp_path, NOW_S), there(tmp_path)) == ([], ["key"])  # to be resumed
        age(tmp_path, "key", OLD_S)
        assert (sweep(tmp_path, NOW_S), there(tmp_path)) == (["key"], [])


def test_a_file_is_owned_while_it_is_read_and_absent_ones_are_not(tmp_path: Path) -> None:
    leave(tmp_path, "task-a.parquet", OLD_S)
    with owned_file(tmp_path, "task-a.parquet") as path, owned_file(tmp_path, "task-b.parquet") as none:
        assert path is not None
        assert (path.read_bytes(), none, sweep(tmp_path, NOW_S)) == (b"bars", None, [])
    assert sweep(tmp_path, NOW_S) == ["task-a.parquet"]


def test_a_training_twice_at_once_is_removed_by_the_last_to_end(tmp_path: Path) -> None:
    with owned(tmp_path, "key") as first:
        with owned(tmp_path, "key") as second:
            (second / "seed.safetensors").write_bytes(b"half")
        remove(tmp_path, "key")
        assert list(first.iterdir()) == [first / "seed.safetensors"]
    remove(tmp_path, "key")
    assert there(tmp_path) == []


def test_a_training_sweeps_what_others_left_and_keeps_what_they_may_come_back_to(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    series = [momentum(200, "A", 1)]
    training = Training(hidden=4, max_epochs=1)
    plan = Plan(8, 2, 0.5, 1, (1,), Costs(2.0, 1.0), training)
    leave(registry.folder, "old", OLD_S)
    leave(registry.folder, "young", YOUNG_S)
    (registry.folder / ".draft-1").mkdir()

    class Killed(Exception):
        pass

    def die(name: str, done: int, epoch: int, loss: float) -> None:
        raise Killed

    with pytest.raises(Killed):
        train(registry, series, plan, int(NOW_S * 1e9), step=die)
    mine = work_folder(registry, series, plan)
    assert there(registry.folder) == sorted(["young", mine.name])
    assert list(mine.glob("*.safetensors"))
    train(registry, series, plan, int(NOW_S * 1e9))
    assert there(registry.folder) == ["young"]
    assert sorted(entry.name for entry in registry.folder.iterdir() if entry.is_dir()) == [FOLDER, "v0001"]


def test_a_training_that_is_refused_leaves_nothing(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    plan = Plan(150, 100, 0.5, 1, (1,), Costs(2.0, 1.0), Training(hidden=4, max_epochs=1))
    with pytest.raises(ModelError):
        train(registry, [momentum(200, "A", 1)], plan, int(NOW_S * 1e9))
    assert there(registry.folder) == []
