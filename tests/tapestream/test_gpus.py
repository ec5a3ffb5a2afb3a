"""`tapestream gpus` as a user runs it, on machines with and without GPUs; gpustat reads the same ones."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.orchestrator.fake_gpus import GIB, FakeGpus, bus, device, instance, uuid


def run(environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, "-m", "tapestream.cli", *arguments]
    return subprocess.run(
        command,
        env={**environment, "COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout


def as_json(environment: dict[str, str], *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(environment, "gpus", "--json", *arguments))
    return found


def test_without_a_driver_it_says_so_and_shows_the_cpu(tmp_path: Path) -> None:
    (tmp_path / "pynvml.py").write_text(
        "class NVMLError(Exception):\n    value = 12\n\ndef nvmlInit():\n    raise NVMLError\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    told = run(environment, "gpus")
    assert told.startswith(
        "no GPU, so everything runs on the CPU: no NVIDIA driver here, there is no libnvidia-ml.so.1"
    )
    assert "slots" in told
    assert "CPU-" in told


def test_everything_is_shown(gpus: FakeGpus) -> None:
    gpus.has(
        device(1, used=70 * GIB, nvlink=f"0 {bus(2)}", path="1 30", process=f"5 {GIB}"),
        device(2, nvlink=f"0 {bus(1)}", throttle=0x80),
        device(3, uuid=None),
        device(4, fault="cuLaunchKernel 700"),
    )
    told = " ".join(run(gpus.environment, "gpus").split())
    for part in (
        "3 GPU devices, 1 healthy; NVIDIA driver 580.65.06",
        f"HEALTHY 80.0 GiB ███████░ 88% WARN 40% 51 310 1 {uuid(1)}",
        "SUSPECT: clocks are held back: power",
        "QUARANTINED: CUDA cannot compute on it:",
        "unreadable: no uuid",
        "links: 0 – 1: 1 × NVLink, PCIe through the host bridge",
        "slots HEALTHY",
    ):
        assert part in told, f"{part} is not in {told}"


def test_the_json_says_all_of_it_to_programs(gpus: FakeGpus) -> None:
    gpus.has(device(1), device(2, mig=1), instance(21), instance(22))
    told = as_json(gpus.environment)
    assert (told["driver"], told["absence"]) == ("580.65.06", "")
    assert [(d["gpu_uuid"], d["kind"], d["health"]) for d in told["devices"]][:-1] == [
        (uuid(1), "gpu", "HEALTHY"),  # with MIG beside it, only a process of its own sees it
        (uuid(21, "MIG"), "mig", "HEALTHY"),
        (uuid(22, "MIG"), "mig", "HEALTHY"),
    ]
    assert told["cuda_visible"]["gpu_uuids"] == [uuid(21, "MIG")]
    assert told["devices"][-1]["kind"] == "cpu"


def test_hidden_devices_are_shown_as_hidden(gpus: FakeGpus) -> None:
    gpus.has(device(1), device(2))
    told = as_json({**gpus.environment, "CUDA_VISIBLE_DEVICES": uuid(2)})
    assert [(d["gpu_uuid"], d["health"], d["cuda_ordinal"]) for d in told["devices"]][:-1] == [
        (uuid(1), "UNKNOWN", None),
        (uuid(2), "HEALTHY", 0),
    ]


def test_without_a_probe_nothing_is_called_healthy(gpus: FakeGpus) -> None:
    gpus.has(device(1, crash="cuInit"))
    told = as_json(gpus.environment, "--no-probe")
    assert (told["cuda"], told["devices"][0]["health"]) == (None, "UNKNOWN")


def test_watching_goes_on_until_ctrl_c_through_a_driver_that_goes_away(gpus: FakeGpus) -> None:
    gpus.has(device(1))
    watching = subprocess.Popen(
        [sys.executable, "-m", "tapestream.cli", "gpus", "--watch", "--json"],
        env=gpus.environment,
        stdout=subprocess.PIPE,
    )
    try:
        assert watching.stdout is not None
        health = [json.loads(watching.stdout.readline())["devices"][0]["health"]]
        gpus.has(device(1), fault="* 9")
        while health[-1] == "HEALTHY":
            health.append(json.loads(watching.stdout.readline())["devices"][0]["health"])
        assert (health[0], health[-1]) == ("HEALTHY", "SUSPECT")
        watching.send_signal(signal.SIGINT)
        assert watching.wait(30) == 130
    finally:
        watching.kill()
        watching.communicate()


def test_doctor_looks_at_the_same_devices(gpus: FakeGpus) -> None:
    gpus.has(device(1), device(2, fault="nvmlDeviceGetHandleByIndex_v2 15"))
    environment = {**gpus.environment, "TAPESTREAM_BROKER": "127.0.0.1:1"}
    command = [sys.executable, "-m", "tapestream.cli", "doctor", "--json"]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120).stdout
    (check,) = [check for check in json.loads(told)["checks"] if check["name"] == "gpu"]
    assert (check["status"], check["found"]) == (
        "warn",
        "0: NVIDIA H100 80GB HBM3 80 GiB; 1: unnamed (GPU is lost); driver 580.65.06",
    )


def test_gpustat_reads_the_same_driver_and_agrees(gpus: FakeGpus) -> None:
    gpus.has(
        device(1, used=10 * GIB, process=f"{os.getpid()} {3 * GIB}"),
        device(2, celsius=None, milliwatts=None, gpu_use=None),
    )
    told = subprocess.run(
        [sys.executable, "-m", "gpustat", "--json"],
        env=gpus.environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    theirs = [
        {
            "uuid": gpu["uuid"],
            "index": gpu["index"],
            "name": gpu["name"],
            "memory": gpu["memory.total"],
            "used": gpu["memory.used"],
            "use": gpu["utilization.gpu"],
            "celsius": gpu["temperature.gpu"],
            "processes": [(p["pid"], p["gpu_memory_usage"]) for p in gpu["processes"]],
        }
        for gpu in json.loads(told)["gpus"]
    ]
    found = as_json(gpus.environment)
    ours = [
        {
            "uuid": told["gpu_uuid"],
            "index": told["nvml_index"],
            "name": told["name"],
            "memory": told["memory_bytes"] >> 20,
            "used": (told["memory_bytes"] - told["free_bytes"]) >> 20,
            "use": None if told["utilisation"] is None else round(100 * told["utilisation"]),
            "celsius": told["temperature_c"],
            "processes": [(p["pid"], p["used_bytes"] >> 20) for p in device["processes"]],
        }
        for told, device in zip(found["devices"], found["inventory"], strict=False)
    ]
    assert ours == theirs
