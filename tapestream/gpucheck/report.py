"""What a machine with a GPU says: its tests and benchmarks in one Markdown report, with the environment."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from schemas.codec import dumps_pretty, loads
from tapestream.commands.bench import WITH_DEVICE
from tapestream.shadows import ROOT

FACTS, PAGE = ROOT / "gpu-report.json", ROOT / "gpu-report.md"
_PACKAGES = ("torch", "numba", "numba-cuda", "cudf-cu13", "cupy-cuda13x", "rmm-cu13", "nvidia-ml-py", "numpy")
_TESTS_S, _BENCHMARK_S = 3_600, 3_600

Facts = dict[str, Any]
"""``environment``, ``tests`` and ``benchmarks``, as far as they were run."""


def keep(**found: Any) -> Facts:
    """Add to what is known of this machine, and write the page anew."""
    facts: Facts = loads(FACTS.read_bytes()) if FACTS.exists() else {}
    facts |= {"environment": environment(), **found}
    FACTS.write_text(dumps_pretty(facts))
    PAGE.write_text(render(facts))
    return facts


def environment() -> dict[str, Any]:
    """The commit, the packages, and each device with its driver as ``tapestream gpus`` sees them."""
    seen = _run("-m", "tapestream.cli", "gpus", "--json", "--no-probe")
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "commit": commit.stdout.strip() or "unknown",
        "machine": f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "packages": {name: _version(name) for name in _PACKAGES},
        "gpus": loads(seen.stdout.encode()) if seen.returncode == 0 else seen.stderr.strip(),
    }


def run_tests(folder: Path) -> list[dict[str, str]]:
    """Every test marked ``gpu``; ``folder`` is for pytest's own report."""
    found = folder / "junit.xml"
    _run("-m", "pytest", "-q", "-m", "gpu", f"--junitxml={found}", timeout_s=_TESTS_S)
    return outcomes(found.read_text()) if found.exists() else []


def outcomes(junit: str) -> list[dict[str, str]]:
    """Name, outcome and reason of each test of a JUnit report; what is skipped is no success."""
    rows = []
    for case in ElementTree.fromstring(junit).iter("testcase"):
        ends = [part for kind in ("failure", "error", "skipped") for part in case.findall(kind)]
        rows.append(
            {
                "test": f"{case.get('classname')}.{case.get('name')}",
                "outcome": {"failure": "failed", "error": "failed"}.get(ends[0].tag, ends[0].tag)
                if ends
                else "passed",
                "reason": ends[0].get("message", "") if ends else "",
            }
        )
    return rows


def run_benchmarks(device: str) -> dict[str, Any]:
    """Every benchmark that has a device: on the CPU and on it; what fails says why."""
    return {name: {where: _benchmark(name, where) for where in ("cpu", device)} for name in WITH_DEVICE}


def _benchmark(name: str, device: str) -> Any:
    done = _run("-m", "tapestream.cli", "bench", name, "--json", "--device", device, timeout_s=_BENCHMARK_S)
    return loads(done.stdout.encode()) if done.returncode == 0 else {"failed": done.stderr.strip()[-500:]}


def render(facts: Facts) -> str:
    """The page."""
    about = facts["environment"]
    lines = ["# What a GPU says", "", f"Commit `{about['commit']}`; {about['machine']}.", ""]
    lines += ["| package | version |", "|---|---|"]
    lines += [f"| {name} | {number} |" for name, number in about["packages"].items()]
    lines += ["", "```json", dumps_pretty(about["gpus"]).strip(), "```", ""]
    lines += ["## Tests", "", *_tests(facts.get("tests"))]
    lines += ["", "## Benchmarks", "", *_benchmarks(facts.get("benchmarks"))]
    return "\n".join(lines) + "\n"


def _tests(rows: list[dict[str, str]] | None) -> Iterator[str]:
    if rows is None:
        yield "Not run: `make test-gpu`."
        return
    counts = {kind: sum(row["outcome"] == kind for row in rows) for kind in ("passed", "failed", "skipped")}
    yield ", ".join(f"{number} {kind}" for kind, number in counts.items()) + "."
    yield from ("", "| test | outcome | reason |", "|---|---|---|")
    for row in rows:
        reason = " ".join(row["reason"].split()).replace("|", r"\|")
        yield f"| {row['test']} | {row['outcome']} | {reason} |"


def _benchmarks(found: dict[str, Any] | None) -> Iterator[str]:
    if found is None:
        yield "Not run: `make bench-gpu`."
        return
    for name, by_device in found.items():
        figures = [dict(_flat(one)) for one in by_device.values()]
        yield from (f"### {name}", "", f"| figure | {' | '.join(by_device)} |", "|---|---|---|")
        for key in dict.fromkeys(key for one in figures for key in one):
            yield f"| {key} | {' | '.join(str(one.get(key, '')) for one in figures)} |"
        yield ""


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _flat(inner, f"{path}[{number}]")
    else:
        yield path, value


def _run(*arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
