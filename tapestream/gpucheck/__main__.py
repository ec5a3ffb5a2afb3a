"""``python -m tapestream.gpucheck kernels|names|present|test|bench``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from agents.dense.start import require
from schemas.errors import TapestreamError
from tapestream.gpucheck import lookup, names, record, report
from tapestream.shadows import ROOT

app = typer.Typer(add_completion=False, help="Checks of the GPU path for developers.")
_GPU = "cuda:0"
_FOLDERS = ("schemas", "streams", "agents", "orchestrator", "tapestream", "bench")


@app.command("kernels")
def kernels_command() -> None:
    """Compile and assemble every CUDA kernel and write docs/gpu-kernels.json anew."""
    found, _ = record.measure()
    record.write(found)
    typer.echo(f"wrote {record.PATH.relative_to(ROOT)}; now make docs")


@app.command("names")
def names_command(
    packages: Annotated[list[str] | None, typer.Option(help="Instead of the GPU packages.")] = None,
) -> None:
    """Check every name and call of a GPU package in our code against the installed packages."""
    wanted = packages or list(names.PACKAGES)
    for name in wanted:
        try:
            lookup.module(name)
        except lookup.Absent as exc:
            _fail(f"{exc}", "make check-gpu-names makes an environment that has it")
    found = names.check([p for folder in _FOLDERS for p in (ROOT / folder).rglob("*.py")], ROOT, wanted)
    for problem in found.problems:
        typer.echo(str(problem), err=True)
    typer.echo(f"{found.names} names and {found.calls} calls checked, {len(found.problems)} wrong")
    raise typer.Exit(1 if found.problems else 0)


@app.command("present")
def present_command() -> None:
    """End with an error when there is no GPU that can be used."""
    require(_GPU)


@app.command("test")
def test_command() -> None:
    """Run every test marked gpu, and write the report; an error when one failed or none passed."""
    require(_GPU)
    with tempfile.TemporaryDirectory() as folder:
        rows = report.run_tests(Path(folder))
    report.keep(tests=rows)
    ends = [row["outcome"] for row in rows]
    _told(f"{ends.count('passed')} passed, {ends.count('failed')} failed, {ends.count('skipped')} skipped")
    raise typer.Exit("failed" in ends or "passed" not in ends)


@app.command("bench")
def bench_command() -> None:
    """Run every benchmark that has a device on the CPU and on the GPU, and write the report."""
    require(_GPU)
    found = report.run_benchmarks(_GPU)
    report.keep(benchmarks=found)
    failed = [name for name, figures in found.items() if any("failed" in one for one in figures.values())]
    _told(f"{len(found) - len(failed)} measured, failed: {', '.join(failed) or 'none'}")
    raise typer.Exit(bool(failed))


def _told(text: str) -> None:
    typer.echo(f"{text}; {report.PAGE.relative_to(ROOT)} has it all")


def _fail(problem: str, remedy: str) -> None:
    typer.echo(f"error: {problem} ({remedy})", err=True)
    raise typer.Exit(1)


if __name__ == "__main__":
    try:
        app()
    except TapestreamError as exc:
        sys.exit(f"error: {exc}")
