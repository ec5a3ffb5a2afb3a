import importlib
import subprocess
import sys

import pytest
import typer

from schemas import errors
from tapestream import __version__, cli


def answer_of(monkeypatch, command) -> int:
    """The exit code of a command line whose only command is ``command``."""
    row = cli.Row("ask", "doctor:ask", cli.RUN, "")
    monkeypatch.setattr(importlib.import_module("tapestream.commands.doctor"), "ask", command, raising=False)
    app = typer.Typer(cls=cli.LazyGroup)
    app.callback()(lambda: None)
    monkeypatch.setattr(cli, "COMMANDS", (row,))
    monkeypatch.setattr(cli, "app", app)
    return cli.main(["ask"])


def raising(exc: BaseException):
    def command() -> None:
        raise exc

    return command


@pytest.mark.parametrize("row", cli.COMMANDS, ids=lambda row: row.name)
def test_every_command_can_be_imported_and_explains_itself(row, capsys):
    assert cli.main([row.name, "--help"]) == 0
    assert f"Usage: tapestream {row.name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.TapestreamError, 1),
        (errors.SettingsError, 2),
        (errors.BrokerUnavailable, 3),
        (errors.TopicError, 4),
        (errors.SourceError, 5),
        (errors.CheckpointError, 6),
        (errors.DataLossError, 6),
        (errors.VerifyError, 7),
        (errors.AccountingError, 8),
        (errors.ChildError, 9),
    ],
)
def test_an_error_of_ours_is_one_line_with_its_remedy_and_its_exit_code(monkeypatch, capsys, error, code):
    assert answer_of(monkeypatch, raising(error("market.ticks[3]@7: broken", "mend it"))) == code
    assert capsys.readouterr() == ("", "error: market.ticks[3]@7: broken (mend it)\n")


def test_an_error_of_several_lines_is_still_one_line(monkeypatch, capsys):
    answer_of(monkeypatch, raising(errors.TapestreamError("first\n   second")))
    assert capsys.readouterr().err == "error: first second\n"


def test_a_defect_is_one_line_that_says_how_to_see_more(monkeypatch, capsys):
    assert answer_of(monkeypatch, raising(ValueError("surprise"))) == 1
    assert capsys.readouterr().err == (
        "error: ValueError: surprise (a defect of Tapestream; TAPESTREAM_DEBUG=1 shows where)\n"
    )


@pytest.mark.parametrize("exc", [ValueError("surprise"), errors.TapestreamError("known")])
def test_with_debugging_the_traceback_is_shown(monkeypatch, capsys, exc):
    monkeypatch.setenv("TAPESTREAM_DEBUG", "1")
    answer_of(monkeypatch, raising(exc))
    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize("exc", [KeyboardInterrupt(), typer.Abort()])
def test_ctrl_c_is_exit_code_130_and_no_error(monkeypatch, capsys, exc):
    assert answer_of(monkeypatch, raising(exc)) == 130
    assert "error" not in capsys.readouterr().err


def test_a_command_chooses_its_own_exit_code(monkeypatch):
    assert answer_of(monkeypatch, raising(typer.Exit(3))) == 3


def test_a_wrong_option_names_the_command_whose_help_to_read(capsys):
    assert cli.main(["doctor", "--jsno"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: No such option: --jsno")
    assert err.endswith("(see `tapestream doctor --help`)\n")
    assert err.count("\n") == 1


def test_a_mistyped_command_is_answered_with_the_nearest(capsys):
    assert cli.main(["signls"]) == 2
    assert capsys.readouterr().err == (
        "error: No such command 'signls'. Did you mean 'signals'? (see `tapestream --help`)\n"
    )


def test_no_command_shows_what_there_is(capsys):
    assert cli.main([]) == 2
    assert "demo" in capsys.readouterr().out


def test_the_version_is_the_packages(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"tapestream {__version__}\n"


def test_help_loads_neither_torch_nor_a_kafka_client():
    heavy = ("torch", "faust", "aiokafka", "pyarrow", "numba", "numpy", "pydantic")
    show = f"print([module for module in {heavy} if module in sys.modules])"
    code = f"import sys; from tapestream.cli import main; main(['--help']); {show}"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "[]"
    assert all(row.name in shown for row in cli.COMMANDS)


def test_a_foreign_package_before_ours_is_named_and_not_a_traceback(tmp_path):
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "__init__.py").touch()
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from tapestream.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: `import schemas` finds {tmp_path}/schemas/__init__.py (remove ")


@pytest.mark.parametrize("command", ["orchestrate", "agent"])
def test_a_switch_that_is_neither_on_nor_off_refuses_to_start(command, monkeypatch, capsys):
    monkeypatch.setenv("ALLOW_GPU_PROCESS_KILL", "yes")
    assert cli.main([command]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: ALLOW_GPU_PROCESS_KILL='yes' is neither on nor off "
        "(unset ALLOW_GPU_PROCESS_KILL, or set it to exactly 1 or true)"
    )
