"""Freed memory is used again instead of being got anew from the system."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from types import SimpleNamespace

import pytest

from agents.heap import keep_pages
from tests.kafka import ROOT

PROGRAM = """
import resource, sys
from agents.heap import keep_pages
if not keep_pages(): sys.exit("no glibc here")
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def fetch():
    before = faults()
    b"x" * 16_000_000
    return faults() - before
fetch()
print(max(fetch() for _ in range(20)))
"""


def test_a_block_as_large_as_a_fetch_takes_no_new_pages_the_second_time() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True)
    if "no glibc here" in done.stderr:
        pytest.skip("no glibc here")
    # It has 3,906 pages of 4 KiB. Each would be a fault if it came from the system.
    assert int(done.stdout) < 100


def test_another_c_library_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace())
    assert keep_pages() is False
