import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.docs.pages import ROOT


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # The tests may run under make themselves, whose flags and variables are not meant for this one.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }
    return subprocess.run(["make", *arguments], cwd=folder, capture_output=True, text=True, env=environment)


@pytest.fixture
def folder(tmp_path):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def installs(folder: Path) -> bool:
    return "uv pip install" in make(folder, "-n", "setup").stdout


def test_packages_are_installed_once_and_again_when_the_pins_change(folder):
    assert installs(folder)
    stamp = re.search(r"touch (\S+)", make(folder, "-n", "setup").stdout).group(1)
    (folder / stamp).parent.mkdir()
    (folder / stamp).touch()
    assert not installs(folder)
    with open(folder / "constraints.txt", "a") as pins:
        pins.write("another==1\n")
    assert installs(folder)


def test_a_folder_that_was_moved_is_installed_anew(folder, tmp_path_factory):
    stamp = re.search(r"touch (\S+)", make(folder, "-n", "setup").stdout).group(1)
    moved = shutil.copytree(folder, tmp_path_factory.mktemp("other") / "place")
    assert stamp not in make(moved, "-n", "setup").stdout


def test_a_python_that_does_not_fit_is_refused_with_what_to_do(folder):
    done = make(folder, "setup", "PYTHON=false")
    assert done.returncode == 2
    assert done.stderr.startswith("error: Python 3.11, 3.12 or 3.13 is needed")
    assert "make setup PYTHON=" in done.stderr
    assert not (folder / ".venv").exists()


def test_help_names_every_target(folder):
    targets = re.search(r"^\.PHONY: (.+)$", (folder / "Makefile").read_text(), re.MULTILINE).group(1).split()
    shown = [line.split()[0] for line in make(folder, "help").stdout.splitlines()]
    assert sorted(shown) == sorted(targets)
