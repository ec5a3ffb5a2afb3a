"""The compute probe on a CUDA of our own making; its kernel is assembled by NVIDIA's own tool."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator.discovery import CudaDevice, CudaReport, InventoryReader, probe_cuda, visible_devices
from orchestrator.discovery.probe import hex_of, probe_usable
from orchestrator.discovery.probe_child import KERNEL
from tests.orchestrator.fake_gpus import FakeGpus, device, instance, uuid

H100 = "NVIDIA H100 80GB HBM3"


def probed(number: int, ordinal: int, problem: str = "") -> CudaDevice:
    return CudaDevice(ordinal, hex_of(uuid(number)), H100, problem)


def test_every_device_that_computes_works(gpus: FakeGpus) -> None:
    gpus.has(device(1), device(2))
    report = probe_cuda(gpus.environment)
    assert report == CudaReport((probed(1, 0), probed(2, 1)))
    assert (report.of(uuid(2)), report.of(uuid(3)), report.of(None)) == (probed(2, 1), None, None)


@pytest.mark.parametrize(
    "call",
    [
        "cuDevicePrimaryCtxRetain",
        "cuCtxSetCurrent",
        "cuModuleLoadData",
        "cuModuleGetFunction",
        "cuMemAlloc_v2",
        "cuLaunchKernel",
        "cuCtxSynchronize",
        "cuMemcpyDtoH_v2",
        "cuMemFree_v2",
    ],
)
def test_a_step_that_fails_is_the_devices_problem_alone(gpus: FakeGpus, call: str) -> None:
    gpus.has(device(1, fault=f"{call} 700"), device(2))
    problem = f"{call}: CUDA_ERROR_OF_THE_FAKE (700)"
    assert probe_cuda(gpus.environment).devices == (probed(1, 0, problem), probed(2, 1))


def test_a_device_that_computes_wrong_numbers_does_not_work(gpus: FakeGpus) -> None:
    gpus.has(device(1, compute="wrong"), device(2))
    assert probe_cuda(gpus.environment).devices == (
        probed(1, 0, "the kernel computed wrong numbers"),
        probed(2, 1),
    )


def test_a_crash_and_a_hang_are_answers_and_the_next_devices_are_probed(gpus: FakeGpus) -> None:
    gpus.has(
        device(1, crash="cuLaunchKernel"),
        device(2, hang="cuDevicePrimaryCtxRetain"),
        device(3),
        device(4, crash="cuDeviceGetName"),
    )
    assert probe_cuda(gpus.environment, step_limit_s=1.0).devices == (
        probed(1, 0, "running a kernel: the process ended by SIGABRT"),
        probed(2, 1, "making a context did not end within 1 s"),
        probed(3, 2),
        CudaDevice(3, problem="asking its name: the process ended by SIGABRT"),
    )


@pytest.mark.parametrize(
    ("driver", "problem"),
    [
        ({"fault": "cuInit 100"}, "cuInit: CUDA_ERROR_NO_DEVICE (100)"),
        ({"fault": "cuDeviceGetCount 3"}, "cuDeviceGetCount: CUDA_ERROR_OF_THE_FAKE (3)"),
        ({"crash": "cuInit"}, "starting CUDA: the process ended by SIGABRT"),
        ({"hang": "cuInit"}, "starting CUDA did not end within 1 s"),
    ],
)
def test_a_cuda_that_does_not_start_says_why(gpus: FakeGpus, driver: dict[str, str], problem: str) -> None:
    gpus.has(device(1), **driver)
    assert probe_cuda(gpus.environment, step_limit_s=1.0) == CudaReport((), problem)


def test_a_cuda_without_devices_says_so(gpus: FakeGpus) -> None:
    assert probe_cuda(gpus.environment) == CudaReport((), "CUDA shows no device")


def test_each_instance_is_probed_by_itself_since_a_process_sees_but_one(gpus: FakeGpus) -> None:
    gpus.has(device(1, mig=1), instance(11), instance(12, compute="wrong"), device(2, mig=1), instance(21))
    with InventoryReader(environment=gpus.environment) as reader:
        visible = visible_devices(None, reader.look())
    report = probe_usable(visible, gpus.environment)
    found = {mig: report.of(uuid(mig, "MIG")) for mig in (11, 12, 21)}
    assert {mig: probe and probe.problem for mig, probe in found.items()} == {
        11: "",
        12: "the kernel computed wrong numbers",
        21: "",
    }


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
def test_the_kernel_is_one_that_ptxas_takes(architecture: str, tmp_path: Path) -> None:
    triton = importlib.util.find_spec("triton")
    shipped = Path(triton.origin or "").parent / "backends/nvidia/bin/ptxas" if triton else Path()
    ptxas = shipped if shipped.is_file() else shutil.which("ptxas")
    if ptxas is None:
        pytest.skip("no ptxas to assemble the kernel with")
    source = tmp_path / "probe.ptx"
    source.write_bytes(KERNEL)
    subprocess.run([ptxas, "-arch", architecture, "-o", tmp_path / "probe.cubin", source], check=True)
