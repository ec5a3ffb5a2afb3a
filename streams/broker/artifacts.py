"""Apache Kafka's jars: pinned in ``jars.lock``, downloaded once, checked, and given as a class path.

The lock file holds the hash and size of every jar, so a start needs no network and no resolving, and a jar
cut short by a lost connection is seen and fetched again instead of failing inside Java.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.errors import BrokerStartError
from streams.locks import exclusive_lock

LOCK = Path(__file__).with_name("jars.lock")
KAFKA = "org.apache.kafka:kafka_2.13"

OnDownload = Callable[[int, int], None]
"""Told ``(bytes so far, bytes in all)`` while jars are being fetched."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One jar of the lock file, and where a Maven repository keeps it."""

    group: str
    artifact: str
    version: str
    size_bytes: int
    sha256: str

    @property
    def coordinate(self) -> str:
        """``group:artifact:version``."""
        return f"{self.group}:{self.artifact}:{self.version}"

    def path(self, repository: Path) -> Path:
        """The jar's place in a local repository."""
        folder = repository.joinpath(*self.group.split("."), self.artifact, self.version)
        return folder / f"{self.artifact}-{self.version}.jar"


def locked_jars() -> tuple[Jar, ...]:
    """The rows of the lock file."""
    jars = []
    for line in LOCK.read_text().splitlines():
        coordinate, size, digest = line.split()
        group, artifact, version = coordinate.split(":")
        jars.append(Jar(group, artifact, version, int(size), digest))
    return tuple(jars)


KAFKA_VERSION = next(jar.version for jar in locked_jars() if jar.coordinate.startswith(f"{KAFKA}:"))


def local_repository() -> Path:
    """Where jars are kept: Maven's own local repository, so that they are shared with it."""
    chosen = os.environ.get("M2_REPO")
    return Path(chosen) if chosen else Path.home() / ".m2" / "repository"


def class_path(
    jars: tuple[Jar, ...] | None = None,
    *,
    repository: Path | None = None,
    remote: str | None = None,
    on_download: OnDownload | None = None,
) -> list[Path]:
    """The jars' files, after downloading the ones that are missing or cut short.

    Parameters
    ----------
    jars
        What to have; the lock file's when absent.
    repository
        The local Maven repository to keep them in; the user's own when absent.
    remote
        The repository to download from; Maven's central one when absent.
    on_download
        Told how far a download is; not called when there is none.

    Raises
    ------
    BrokerStartError
        When a jar cannot be downloaded or is not the one that the lock file names.
    """
    jars = locked_jars() if jars is None else jars
    repository = repository or local_repository()
    paths = [jar.path(repository) for jar in jars]
    if all(_is_whole(jar, path) for jar, path in zip(jars, paths, strict=True)):
        return paths
    # One process downloads; others that want the same jars wait and then find them.
    with exclusive_lock(repository / ".tapestream.lock"):
        missing = [jar for jar in jars if not _is_whole(jar, jar.path(repository))]
        _download(missing, repository, remote, on_download)
    return paths


def _is_whole(jar: Jar, path: Path) -> bool:
    return path.is_file() and path.stat().st_size == jar.size_bytes


def _download(jars: list[Jar], repository: Path, remote: str | None, on_download: OnDownload | None) -> None:
    # Imported here because it costs a quarter of a second that a start with all jars should not pay.
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.maven import MavenContext, PythonResolver

    total, done = sum(jar.size_bytes for jar in jars), 0

    @contextmanager
    def one_file(_filename: str, _size: int) -> Iterator[Callable[[int], None]]:
        def advance(count: int) -> None:
            nonlocal done
            done += count
            if on_download is not None:
                on_download(done, total)

        yield advance

    if on_download is not None and jars:
        on_download(0, total)
    context = MavenContext(
        resolver=PythonResolver(progress_callback=one_file),
        repo_cache=repository,
        local_repos=[],
        remote_repos={"central": (remote or MAVEN_CENTRAL_URL).rstrip("/")},
    )
    for jar in jars:
        _fetch(jar, jar.path(repository), context)


def _fetch(jar: Jar, path: Path, context: Any) -> None:
    path.unlink(missing_ok=True)  # a part of a file, which the resolver would take for the whole
    try:
        context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
    except BaseException as exc:
        path.unlink(missing_ok=True)
        if not isinstance(exc, (OSError, RuntimeError, ValueError)):
            raise
        raise BrokerStartError(
            f"{jar.coordinate} cannot be downloaded: {_cause(exc)}",
            "the embedded broker needs the network once; or set TAPESTREAM_MAVEN_REPOSITORY to a mirror, "
            "or TAPESTREAM_BROKER to a Kafka that runs",
        ) from exc
    if hashlib.sha256(path.read_bytes()).hexdigest() != jar.sha256:
        path.unlink()
        raise BrokerStartError(
            f"{jar.coordinate} is not the file that jars.lock names: another sha256",
            "try again; if it stays so, the repository or a proxy before it alters files",
        )


def _cause(exc: BaseException) -> str:
    """The innermost reason, since the outer ones repeat it at length."""
    while (inner := exc.__cause__ or exc.__context__) is not None:
        exc = inner
    return str(exc).splitlines()[0] if str(exc) else type(exc).__name__
