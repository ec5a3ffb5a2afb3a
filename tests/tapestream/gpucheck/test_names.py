"""The checker on a package made for it: what is right passes, and each planted mistake is told."""

import sys
import textwrap

import pytest

from tapestream.gpucheck.names import Problem, check

pytestmark = pytest.mark.gpu_path

PACKAGE = {
    "__init__.py": """
        from .frames import Frame
        def concat(frames, axis=0): ...
        def stream() -> "Stream": ...
        class Devices:
            @property
            def current(self): raise RuntimeError("no driver")
        gpus = Devices()
        class Stream:
            def __init__(self): self.handle = 0
            def wait(self): ...
    """,
    "frames.py": """
        class Frame:
            def __init__(self, columns=None): ...
            @classmethod
            def from_arrow(cls, table) -> "Frame": ...
            @property
            def first(self) -> "Frame": ...
            def head(self, n=5) -> "Frame": ...
            def sums(self, by, *, sort=False): ...
    """,
}


@pytest.fixture
def problems(tmp_path, monkeypatch):
    folder = tmp_path / "fakedf"
    folder.mkdir()
    for name, text in PACKAGE.items():
        (folder / name).write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(tmp_path)
    yield lambda source: found(tmp_path, source).problems
    for name in [name for name in sys.modules if name.partition(".")[0] == "fakedf"]:
        del sys.modules[name]


def found(folder, source):
    path = folder / "ours.py"
    path.write_text(textwrap.dedent(source))
    return check([path], folder, ["fakedf"])


RIGHT = """
    import fakedf as df
    from fakedf.frames import Frame

    class Ours:
        def __init__(self, frame: df.Frame, *others, fakedf=None):
            self._stream = df.stream()
            self._frame = Frame.from_arrow(others)
            fakedf.concat([frame], axis=1)

        def work(self):
            def within():
                import fakedf
                fakedf.frames.Frame(columns=None)
            self._stream.wait(), df.gpus.current
            print(self._stream.handle, self._frame.head(3).first.sums("symbol", sort=True))
            return self._frame.anything if self else unknown.whatever(1, 2)
"""


def test_what_exists_and_fits_passes(problems):
    assert problems(RIGHT.replace("self._frame.anything", "self._frame.head(*range(1))")) == []


@pytest.mark.parametrize(
    ("right", "planted", "line", "says"),
    [
        ("df.stream()", "df.steam()", 7, "fakedf has no steam"),
        ("import fakedf\n", "import fakedf.gone\n", 13, "no module fakedf.gone"),
        ("import Frame", "import Frames", 3, "fakedf.frames has no Frames"),
        ("from_arrow(others)", "from_arrow()", 8, "missing a required argument: 'table'"),
        ("axis=1", "sort=1", 9, "got an unexpected keyword argument 'sort'"),
        ("_stream.wait()", "_stream.wait(1)", 15, "too many positional arguments"),
        ("_stream.handle", "_stream.pointer", 16, "fakedf.Stream has no pointer"),
        ("sort=True", "True", 16, "too many positional arguments"),
        ("gpus.current", "gpus.currant", 15, "fakedf.Devices has no currant"),
        (".first.sums", ".first.total", 16, "fakedf.frames.Frame has no total"),
        ("self._frame.anything", "self._frame.tail(1)", 17, "fakedf.frames.Frame has no tail"),
    ],
)
def test_a_planted_mistake_is_told_with_its_line(problems, right, planted, line, says):
    ours = RIGHT.replace("self._frame.anything", "self._frame.head(1)") if "anything" not in right else RIGHT
    (problem,) = problems(ours.replace(right, planted))
    assert (problem.path, problem.line) == ("ours.py", line)
    assert problem.problem.endswith(says) or says in problem.problem


@pytest.mark.parametrize(
    "got_by",
    ['importlib.import_module("fakedf.frames")', 'loaded("fakedf.frames")', 'sys.modules["fakedf.frames"]'],
)
def test_a_package_that_is_got_by_its_name_is_checked_too(problems, got_by):
    assert problems(f"package: Any = {got_by}\npackage.Frame(columns=[])\n") == []
    (problem,) = problems(f"package = {got_by}\npackage.Frames()\n")
    assert problem.line == 2
    assert problem.problem == "fakedf.frames has no Frames"


def test_what_is_checked_is_counted(problems, tmp_path):
    counted = found(tmp_path, "import fakedf\nfakedf.concat([])\nfakedf.Stream\nlen([])\n")
    assert (counted.names, counted.calls, counted.problems) == (2, 1, [])


def test_a_problem_reads_as_a_place_and_what_is_wrong():
    assert str(Problem("agents/frames.py", 7, "cudf has no x")) == "agents/frames.py:7: cudf has no x"
