"""A module is of use when its import has ended, not when another thread has begun it."""

from __future__ import annotations

import importlib
import sys
import threading
from pathlib import Path

import pytest

from agents.loaded import loaded

NAME = "slowly_imported"


def test_a_module_that_nobody_has_imported_is_not_there() -> None:
    assert loaded(NAME) is None
    assert NAME not in sys.modules


def test_a_module_is_there_when_its_import_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()
    gate = tmp_path / f"{NAME}.py"
    gate.write_text("import builtins\nbuiltins.slow_import()\nvalue = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("builtins.slow_import", lambda: (begun.set(), go_on.wait(60)), raising=False)
    importer = threading.Thread(target=importlib.import_module, args=(NAME,))
    importer.start()
    try:
        assert begun.wait(60)
        assert NAME in sys.modules
        assert loaded(NAME) is None
        go_on.set()
        importer.join(60)
        assert loaded(NAME).value == 1  # type: ignore[union-attr]
    finally:
        go_on.set()
        importer.join(60)
        sys.modules.pop(NAME, None)
