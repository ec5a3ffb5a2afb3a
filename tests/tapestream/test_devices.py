"""The device of a worker: every reason against a GPU has a line, from a driver of our own making."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial

import pytest

from orchestrator.discovery import CudaReport, probe_cuda
from schemas.errors import SettingsError
from tapestream.devices import Choice, Seat, choose_device, missing_packages, seats
from tests.orchestrator.fake_gpus import GIB, FakeGpus, device, instance, uuid

pytestmark = pytest.mark.gpu_path

CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("CUDA_", "NUMBA_"))}


def never(_: object) -> CudaReport:
    raise AssertionError("nobody needs to know what devices there are")


def choose(gpus: FakeGpus, wish: str, limit: str | None = None, **variables: str) -> Choice:
    return choose_device(wish, limit, environment=gpus.environment | variables, missing=())


def refused(gpus: FakeGpus, wish: str, limit: str | None = None, **variables: str) -> tuple[str, str]:
    with pytest.raises(SettingsError) as caught:
        choose(gpus, wish, limit, **variables)
    assert caught.value.exit_code == 2
    return caught.value.problem, caught.value.remedy


def hexadecimal(number: int) -> str:
    return f"{number:08x}" + 24 * "0"


def shown(number: int, ordinal: int, name: str = "NVIDIA H100 80GB HBM3") -> str:
    return f"{name} (cuda:{ordinal}, uuid {hexadecimal(number)})"


def test_the_cpu_is_chosen_without_looking_at_the_machine() -> None:
    assert choose_device("cpu", probe=never) == Choice(False, "the CPU, as asked")


@pytest.mark.parametrize("wish", ["tpu", "cuda:", "cuda:x", "GPU", "gpu-1", ""])
def test_an_unknown_device_is_refused(wish: str) -> None:
    with pytest.raises(SettingsError, match=r"is unknown \(use auto, cpu, cuda:N, GPU-uuid or MIG-uuid\)"):
        choose_device(wish, probe=never)


@pytest.mark.parametrize("size", ["much", "-1", "0"])
def test_a_memory_limit_that_is_no_size_is_refused(size: str) -> None:
    with pytest.raises(SettingsError, match=f"memory limit '{size}' is no size"):
        choose_device("cuda:0", size, probe=never)


def test_without_the_packages_auto_takes_the_cpu_and_says_which_are_absent() -> None:
    chosen = choose_device("auto", environment=CLEAN, missing=("cudf", "rmm"), probe=never)
    assert chosen == Choice(False, "the CPU, since no GPU can be used: cudf, rmm not installed")


def test_without_the_packages_a_gpu_is_refused_with_the_extra_to_install() -> None:
    absent = missing_packages(simulated=False)
    if not absent:
        pytest.skip("the extra gpu is installed here")
    done = subprocess.run(
        [sys.executable, "-m", "tapestream.cli", "worker", "--device", "cuda:0"],
        env=CLEAN | {"PYTHONPATH": "", "TAPESTREAM_DEBUG": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 2
    assert done.stderr.strip() == (
        f"error: device cuda:0: {', '.join(absent)} not installed "
        "(make setup EXTRAS=dev,gpu, or pip install 'tapestream[gpu]')"
    )


def test_with_the_packages_and_no_driver_the_line_says_so() -> None:
    absent = CudaReport((), "there is no libcuda.so.1")
    with pytest.raises(SettingsError, match=r"no NVIDIA driver answers: libcuda\.so\.1 is not found"):
        choose_device("cuda:0", environment=CLEAN, missing=(), probe=lambda _: absent)


def test_a_driver_without_a_device_is_told_with_the_variable_that_may_hide_it(gpus: FakeGpus) -> None:
    gpus.has(fault="cuInit 100")
    assert refused(gpus, "cuda:0", CUDA_VISIBLE_DEVICES="") == (
        "device cuda:0: the driver lists no device: cuInit: CUDA_ERROR_NO_DEVICE (100) "
        "(CUDA_VISIBLE_DEVICES=)",
        "`tapestream gpus` says what there is; CUDA_VISIBLE_DEVICES may hide it",
    )


def test_a_driver_too_old_for_the_packages_is_told_with_both_versions(gpus: FakeGpus) -> None:
    gpus.has(device(1), cuda=12_040)
    problem = f"device cuda:0: the driver of {shown(1, 0)} knows CUDA 12.4, the packages need 13.0"
    assert refused(gpus, "cuda:0") == (problem, "install a newer one, or use cpu")


@pytest.mark.parametrize("wish", ["cuda:2", uuid(3), uuid(1, "MIG").replace("1", "7")])
def test_a_device_that_is_not_there_is_told_with_those_that_are(gpus: FakeGpus, wish: str) -> None:
    gpus.has(device(1), device(2, name="NVIDIA L4"))
    expected = f"cuda:0 = NVIDIA H100 80GB HBM3 {hexadecimal(1)}, cuda:1 = NVIDIA L4 {hexadecimal(2)}"
    if wish.startswith("MIG-"):
        expected = "no device: CUDA shows no device"
    assert expected in refused(gpus, wish)[0]


def test_a_device_that_another_process_has_for_itself_is_told_so(gpus: FakeGpus) -> None:
    gpus.has(device(1, fault="cuDevicePrimaryCtxRetain 46"))
    problem = f"device cuda:0: {shown(1, 0)} is in use by a process that shares it with nobody"
    remedy = "end it, use another device, or let it be shared: nvidia-smi -c DEFAULT"
    assert refused(gpus, "cuda:0") == (problem, remedy)


def test_a_device_that_cannot_compute_is_told_with_cudas_words(gpus: FakeGpus) -> None:
    gpus.has(device(1, fault="cuLaunchKernel 700"))
    assert "cuLaunchKernel: CUDA_ERROR_OF_THE_FAKE (700)" in refused(gpus, "cuda:0")[0]


@pytest.mark.parametrize(("limit", "needed"), [(None, "1.0"), ("40GiB", "40.0")])
def test_too_little_memory_is_told_with_both_amounts(gpus: FakeGpus, limit: str | None, needed: str) -> None:
    gpus.has(device(1, used=79 * GIB + GIB // 2))
    problem = f"device cuda:0: {shown(1, 0)} has 0.5 GiB free, needed are {needed}"
    assert refused(gpus, "cuda:0", limit) == (
        problem,
        "end what uses it (`tapestream gpus`), or ask for less",
    )


@pytest.mark.parametrize("wish", ["cuda:1", uuid(2)])
def test_of_several_gpus_the_worker_sees_the_one_that_was_asked_for(gpus: FakeGpus, wish: str) -> None:
    gpus.has(device(1), device(2))
    line = f"{shown(2, 1)}, 78.0 GiB free, at most 8.0 of them ours"
    assert choose(gpus, wish, "8GiB") == Choice(True, line, uuid(2), 8 * GIB)


def test_ordinals_count_by_the_variable(gpus: FakeGpus) -> None:
    gpus.has(device(1), device(2))
    chosen = choose(gpus, "cuda:0", "8GiB", CUDA_VISIBLE_DEVICES=uuid(2))
    assert (chosen.visible, chosen.line.startswith(shown(2, 0))) == (uuid(2), True)


def test_a_mig_instance_is_asked_for_by_its_uuid(gpus: FakeGpus) -> None:
    gpus.has(device(1, mig=1) + instance(3) + instance(4))
    chosen = choose(gpus, uuid(4, "MIG"), "8GiB")
    assert chosen.visible == uuid(4, "MIG")
    assert chosen.line.startswith(shown(4, 0, "NVIDIA H100 MIG 3g.40gb"))


def test_auto_takes_the_gpu_with_the_most_free_memory_that_works(gpus: FakeGpus) -> None:
    gpus.has(device(1), device(2, used=70 * GIB), device(3, used=0, fault="cuLaunchKernel 700"))
    line = f"{shown(1, 0)}, 78.0 GiB free, at most 70.2 of them ours"
    assert choose(gpus, "auto") == Choice(True, line, uuid(1), int(0.9 * 78 * GIB))


def test_auto_takes_the_cpu_and_says_what_is_wrong_with_the_gpu(gpus: FakeGpus) -> None:
    gpus.has(device(1, fault="cuDevicePrimaryCtxRetain 46"))
    reason = f"{shown(1, 0)} is in use by a process that shares it with nobody"
    assert choose(gpus, "auto") == Choice(False, f"the CPU, since no GPU can be used: {reason}")


def test_the_simulator_is_one_device_and_never_chosen_by_itself() -> None:
    simulating = partial(choose_device, environment=CLEAN | {"NUMBA_ENABLE_CUDASIM": "1"}, probe=never)
    assert simulating("cuda:0").line == "a SIMULATED GPU, since NUMBA_ENABLE_CUDASIM=1"
    assert not simulating("auto").cuda
    with pytest.raises(SettingsError, match="the simulator has cuda:0 alone"):
        simulating("cuda:1")
    with pytest.raises(SettingsError, match="the simulator needs pandas"):
        simulating("cuda:0", missing=("pandas",))


def test_the_probe_is_the_real_one_by_default(gpus: FakeGpus) -> None:
    gpus.has(device(1))
    assert probe_cuda(gpus.environment).devices[0].free_bytes == 78 * GIB


def deal(gpus: FakeGpus, workers: int, wish: str, **variables: str) -> list[Seat]:
    return seats(workers, wish, environment=gpus.environment | variables, missing=())


def test_workers_of_one_gpu_share_its_memory_and_leave_room_for_a_context_of_each(gpus: FakeGpus) -> None:
    gpus.has(device(1))
    ours = int(0.9 * 78 * GIB)
    assert deal(gpus, 1, "cuda:0") == [Seat("cuda:0", ours)]
    assert deal(gpus, 3, "cuda:0") == [Seat("cuda:0", ours // 3 - GIB // 2)] * 3


def test_a_worker_that_comes_back_finds_its_part_free_beside_the_others(gpus: FakeGpus) -> None:
    gpus.has(device(1))
    parts = [seat.memory_limit_bytes for seat in deal(gpus, 4, "auto")]
    used = sum(part + GIB // 2 for part in parts[1:] if part)
    gpus.has(device(1, used=2 * GIB + used))
    assert choose(gpus, "cuda:0", str(parts[0])).memory_limit_bytes == parts[0]


def test_workers_are_dealt_to_the_gpus_on_which_their_part_is_largest(gpus: FakeGpus) -> None:
    gpus.has(device(1, used=60 * GIB), device(2), device(3, fault="cuLaunchKernel 700"))
    small, large = int(0.9 * 20 * GIB), int(0.9 * 78 * GIB) // 3 - GIB // 2
    one, two = Seat("cuda:0", small), Seat("cuda:1", large)
    assert deal(gpus, 4, "auto") == [two, two, two, one]


def test_ordinals_of_seats_count_by_the_variable_that_the_workers_inherit(gpus: FakeGpus) -> None:
    gpus.has(device(1), device(2))
    (seat,) = deal(gpus, 1, uuid(2), CUDA_VISIBLE_DEVICES=uuid(2))
    chosen = choose(gpus, seat.device, str(seat.memory_limit_bytes), CUDA_VISIBLE_DEVICES=uuid(2))
    assert (seat.device, chosen.visible) == ("cuda:0", uuid(2))


def test_a_gpu_too_small_for_all_workers_is_refused_or_left_to_as_many_as_it_has_room_for(
    gpus: FakeGpus,
) -> None:
    gpus.has(device(1, total=5 * GIB, used=2 * GIB))
    with pytest.raises(SettingsError, match=r"has 3\.0 GiB free, needed are 4\.4 for 4 workers .*--workers"):
        deal(gpus, 4, "cuda:0")
    part = int(0.9 * 3 * GIB) // 2 - GIB // 2
    assert deal(gpus, 3, "auto") == [Seat("cuda:0", part), Seat("cuda:0", part), Seat("cpu")]


def test_where_no_gpu_can_be_used_each_worker_says_why(gpus: FakeGpus) -> None:
    gpus.has(fault="cuInit 100")
    assert deal(gpus, 2, "auto") == [Seat("auto")] * 2
    with pytest.raises(SettingsError, match="device cuda:0: the driver lists no device"):
        deal(gpus, 2, "cuda:0")
    assert seats(2, "cpu", probe=never) == [Seat("cpu")] * 2
    with pytest.raises(SettingsError, match="is unknown"):
        seats(2, "tpu", probe=never)


def test_a_seat_is_the_options_of_a_worker() -> None:
    assert Seat("auto").options == ("--device", "auto")
    assert Seat("cuda:1", 8 * GIB).options == ("--device", "cuda:1", "--memory-limit", str(8 * GIB))
