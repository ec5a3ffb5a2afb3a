import os
from pathlib import Path

import pytest

from agents.tasks.service.outbox import Draft, Outbox
from schemas import codec
from schemas.tasks import Failure, TaskResult


def draft(
    state: str = "SUCCEEDED", *, at_ns: int = 1, attempt: int = 1, failure: Failure | None = None
) -> Draft:
    result = TaskResult.model_validate(
        {"task_id": "a", "task_type": "echo", "state": state, "failure": failure}
    )
    return Draft(agent="g", attempt=attempt, at_ns=at_ns, result=result)


def test_a_draft_is_there_until_it_is_dropped(tmp_path: Path) -> None:
    box = Outbox(tmp_path)
    assert (box.get("a", 1), list(box.all())) == (None, [])
    box.put(draft())
    assert (box.get("a", 1), list(box.all())) == (draft(), [draft()])
    box.drop("a", 1)
    box.drop("a", 1)
    assert list(box.all()) == []


def test_the_first_draft_of_an_attempt_stands(tmp_path: Path) -> None:
    box = Outbox(tmp_path)
    assert box.put(draft(at_ns=1)) == draft(at_ns=1)
    assert box.put(draft(at_ns=2)) == draft(at_ns=1)
    assert [path.name for path in box.folder.iterdir()] == ["a.1.json"]


def test_what_is_half_written_or_foreign_is_passed_over(tmp_path: Path) -> None:
    box = Outbox(tmp_path)
    box.put(draft())
    (box.folder / ".b.1.json.77").write_bytes(b"{")
    (box.folder / "c.1.json").write_bytes(b"{")
    assert list(box.all()) == [draft()]


def test_a_damaged_draft_gives_way(tmp_path: Path) -> None:
    box = Outbox(tmp_path)
    box.put(draft())
    (box.folder / "a.1.json").write_bytes(b"{")
    assert box.put(draft(at_ns=2)) == draft(at_ns=2)
    assert list(box.all()) == [draft(at_ns=2)]


def test_a_task_whose_id_begins_with_a_dot_has_drafts_too(tmp_path: Path) -> None:
    hidden = draft()
    hidden = hidden.model_copy(update={"result": hidden.result.model_copy(update={"task_id": ".a"})})
    box = Outbox(tmp_path)
    box.put(hidden)
    assert list(box.all()) == [hidden]


def test_a_draft_is_on_the_disk_before_it_is_promised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes before it has a name, its name before ``put`` returns, and the folder's own name."""
    synced: list[tuple[str, bool]] = []
    path = tmp_path / "data" / "outbox" / "a.1.json"
    path.parent.parent.mkdir()

    def sync(number: int) -> None:
        synced.append((os.readlink(f"/proc/self/fd/{number}").removeprefix(str(tmp_path)), path.exists()))

    monkeypatch.setattr(os, "fsync", sync)
    Outbox(tmp_path / "data").put(draft())
    assert synced == [
        ("/data", False),
        (f"/data/outbox/.a.1.json.{os.getpid()}", False),
        ("/data/outbox", True),
    ]


def test_a_draft_read_again_gives_the_same_bytes(tmp_path: Path) -> None:
    written = Outbox(tmp_path).put(draft("FAILED", failure=Failure(code="CRASHED", problem="p")))
    read = Outbox(tmp_path).get("a", 1)
    assert read is not None
    assert codec.dumps(read.final("FAILED")) == codec.dumps(written.final("FAILED"))


@pytest.mark.parametrize("state", ["CANCELLED", "DEADLINE_EXCEEDED"])
def test_a_failure_that_the_ledger_counts_as_another_end_says_so(state: str) -> None:
    final = draft("FAILED", failure=Failure(code="CRASHED", problem="p")).final(state)  # type: ignore[arg-type]
    assert (final.state, final.failure and final.failure.code) == (state, state)
