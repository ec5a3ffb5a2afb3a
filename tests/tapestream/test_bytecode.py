"""The bytecode of what our processes import is there before they start."""

import importlib.util
import os
import subprocess
import sys

import pytest

from tapestream.bytecode import IMPORTED


@pytest.mark.parametrize("name", IMPORTED)
def test_what_is_imported_exists(name):
    assert importlib.util.find_spec(name) is not None


def test_bytecode_is_written_even_where_others_are_told_not_to(tmp_path):
    (tmp_path / "some_package.py").write_text("import some_other\n")
    (tmp_path / "some_other.py").write_text("")
    (tmp_path / "not_imported.py").write_text("")
    program = "from tapestream.bytecode import write; write(['some_package'])"
    environment = os.environ | {
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(tmp_path),
        "PYTHONPYCACHEPREFIX": str(tmp_path / "cache"),
    }
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    written = {path.name.partition(".")[0] for path in (tmp_path / "cache").rglob("*.pyc")}
    assert {"some_package", "some_other"} <= written
    assert "not_imported" not in written
