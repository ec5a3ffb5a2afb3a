"""How this process's C library deals with memory that is freed."""

from __future__ import annotations

import ctypes
from contextlib import suppress

# Names and numbers of glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8

KEPT_BYTES = 512 * 1024 * 1024
GROWN_BYTES = 64 * 1024 * 1024
MAPPED_BYTES = 32 * 1024 * 1024
"""The most that glibc lets one set."""


def give_back() -> None:
    """Return to the system what is kept and not in use; nothing where there is no glibc."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def keep_pages() -> bool:
    """Keep pages that are freed for what is allocated next; False where there is no glibc.

    What is fetched is megabytes large and lives for milliseconds. By default such a block goes back to the
    system when it is freed, and for the next fetch is got anew, each page of it cleared and faulted in: a
    tenth of a busy worker's CPU time. There is one heap for all threads, or what one frees another would not
    find. Call it before threads are started.
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    wanted = {
        _ARENA_MAX: 1,
        _MMAP_THRESHOLD: MAPPED_BYTES,
        _TRIM_THRESHOLD: KEPT_BYTES,
        _TOP_PAD: GROWN_BYTES,
    }
    answers = [set_option(name, value) for name, value in wanted.items()]
    return all(answers)
