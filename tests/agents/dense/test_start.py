"""A device that cannot be used is one line, whatever stands in the way."""

import pytest
import torch

from agents.dense.start import GIB, SIGNS, meaning, require
from schemas.errors import SettingsError

pytestmark = pytest.mark.gpu_path


class FakeCuda:
    """A machine's CUDA: what its start raises, or what is free and there."""

    def __init__(self, failure=None, free=40 * GIB, total=80 * GIB):
        self._failure, self._memory = failure, (free, total)

    def init(self):
        if self._failure is not None:
            raise self._failure

    def mem_get_info(self, device):
        return self._memory


@pytest.mark.parametrize(
    ("failure", "line"),
    [
        (RuntimeError("Found no NVIDIA driver on your system. …"), "cuda:0: no NVIDIA driver answers"),
        (
            RuntimeError("CUDA error: CUDA driver version is insufficient for CUDA runtime version\nSearch…"),
            "cuda:0: the NVIDIA driver is missing or too old",
        ),
        (RuntimeError("No CUDA GPUs are available"), "cuda:0: the driver lists no device"),
        (RuntimeError("CUDA error: invalid device ordinal"), "cuda:0: there is no such device"),
        (
            RuntimeError("CUDA error: CUDA-capable device(s) is/are busy or unavailable"),
            "cuda:0: is in use by a process that shares it with nobody",
        ),
        (AssertionError("Torch not compiled with CUDA enabled"), "cuda:0: this torch has no CUDA in it"),
        (RuntimeError("CUDA error: out of memory"), "cuda:0: has no memory free"),
        (RuntimeError("something new\nand more"), "cuda:0: something new"),
    ],
)
def test_what_stands_in_the_way_is_one_line_with_a_remedy(failure, line):
    with pytest.raises(SettingsError) as caught:
        require("cuda:0", cuda=FakeCuda(failure))
    assert caught.value.problem == line
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


def test_too_little_free_memory_is_told_in_figures():
    with pytest.raises(SettingsError, match=r"^cuda:0: has 1\.0 GiB free, needed are 2\.0 \(end what"):
        require("cuda:0", 2 * GIB, FakeCuda(free=GIB))


def test_a_device_that_can_be_used_passes_and_the_cpu_always_does():
    require("cuda:0", 40 * GIB, FakeCuda())
    require("cpu", 10**15)
    require("cpu:0", 10**15)


def test_a_name_that_is_no_device_is_refused():
    with pytest.raises(SettingsError, match="device 'gpu' is unknown"):
        require("gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_machine_with_the_packages_and_no_driver_says_so():
    with pytest.raises(
        SettingsError, match=r"cuda:0: (no NVIDIA driver answers|the NVIDIA driver is missing)"
    ):
        require("cuda:0")


def test_every_known_sign_has_words_of_its_own():
    assert all(meaning(sign) == refusal for sign, refusal in SIGNS)
