"""What is given back: of libraries that are loaded, and never of those that are not."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from agents.tasks import measure


class FakeCudf:
    """cuDF with its option and its manager; ``manager`` is there only while it spills."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {"spill": False}
        self.limits: list[int] = []

    def get_option(self, name: str) -> Any:
        return self.options[name]

    def set_option(self, name: str, value: Any) -> None:
        self.options[name] = value

    def get_global_manager(self) -> Any:
        assert self.options["spill"]
        return SimpleNamespace(spill_to_device_limit=self.limits.append)


def test_cudf_spills_where_it_is_loaded_and_only_while_it_is_asked_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert measure.spill_cudf(True) is False
    cudf = FakeCudf()
    monkeypatch.setitem(sys.modules, "cudf", cudf)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "cudf.core.buffer.spill_manager", cudf)  # type: ignore[arg-type]
    assert measure.spill_cudf(True) is True
    assert (cudf.options, cudf.limits) == ({"spill": True}, [0])
    assert measure.spill_cudf(False) is True
    assert (cudf.options, cudf.limits) == ({"spill": False}, [0])


@pytest.mark.parametrize(
    ("initialized", "error", "cleared"), [(False, None, 0), (True, "no driver", 0), (True, None, 1)]
)
def test_numba_frees_what_it_has_put_off_if_cuda_is_in_use(
    monkeypatch: pytest.MonkeyPatch, initialized: bool, error: str | None, cleared: int
) -> None:
    calls: list[str] = []
    context = SimpleNamespace(deallocations=SimpleNamespace(clear=lambda: calls.append("clear")))
    state = SimpleNamespace(is_initialized=initialized, initialization_error=error)
    driver = SimpleNamespace(driver=state, CudaAPIError=RuntimeError)
    monkeypatch.setitem(sys.modules, "numba.cuda.cudadrv.driver", driver)  # type: ignore[arg-type]
    numba_cuda = SimpleNamespace(current_context=lambda: context)
    monkeypatch.setitem(sys.modules, "numba.cuda", numba_cuda)  # type: ignore[arg-type]
    measure.give_memory_back()
    assert len(calls) == cleared


def test_what_a_process_holds_is_resident_on_the_cpu_and_unknown_on_a_gpu_that_torch_does_not_use() -> None:
    held = measure.held_bytes(on_cpu=True)
    assert held is not None
    assert held > 1 << 20
    assert measure.held_bytes(on_cpu=False) is None
