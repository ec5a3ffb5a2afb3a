"""The files for containers agree with the settings, the command line and the metrics that there are.

Parsed, not run: that takes a Docker engine.
"""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from agents.worker_web import AccountsCollector
from schemas.settings import Settings
from streams.broker import KAFKA_VERSION, ListenerSecurity
from streams.broker.config import NodePlan, server_properties
from streams.ingest.metrics import IngestMetrics, Totals
from tapestream.cli import COMMANDS
from tests.kafka import ROOT

yaml = pytest.importorskip("yaml", reason="PyYAML parses the compose file")

OURS = ("topics", "worker", "ingest", "market")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "docker-compose.kafka.yml").read_text()))


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    return dict(compose["services"])


def test_everything_is_published_on_this_machine_only(services: dict[str, Any]) -> None:
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert len(published) == 5
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_every_service_that_lasts_says_whether_it_is_healthy(services: dict[str, Any]) -> None:
    assert {name for name, service in services.items() if "healthcheck" not in service} == {
        "topics",
        "market",
    }


def test_every_setting_that_is_passed_exists(services: dict[str, Any]) -> None:
    known = {f"TAPESTREAM_{name}".upper() for name in Settings.model_fields}
    for name in OURS:
        assert set(services[name]["environment"]) <= known


def test_every_command_exists(services: dict[str, Any]) -> None:
    known = {row.name for row in COMMANDS}
    assert {services[name]["command"][0] for name in OURS} <= known


def test_our_processes_reach_kafka_by_its_internal_listener(services: dict[str, Any]) -> None:
    advertised = services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    for name in OURS:
        assert f"INTERNAL://{services[name]['environment']['TAPESTREAM_BROKER']}" in advertised


def test_a_program_outside_reaches_kafka_where_the_settings_look_by_default(services: dict[str, Any]) -> None:
    assert (
        f"CLIENT://{Settings.model_fields['broker'].default}"
        in (services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"])
    )


def test_kafka_is_the_version_and_is_configured_like_the_embedded_one(services: dict[str, Any]) -> None:
    assert services["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"
    node = NodePlan(1, Path("/x"), 9092, 29092, 9093)
    lines = server_properties(node, (node,), ListenerSecurity()).splitlines()
    embedded = dict(line.split("=", 1) for line in lines)
    container = {
        key.removeprefix("KAFKA_").lower().replace("_", "."): str(value)
        for key, value in services["kafka"]["environment"].items()
    }
    for key in embedded.keys() & container.keys() - {"log.dirs", "listeners", "advertised.listeners"}:
        if key != "controller.quorum.voters":
            assert (key, container[key]) == (key, embedded[key])


def test_a_stopped_process_has_time_to_drain(services: dict[str, Any]) -> None:
    budget_s = Settings.model_fields["shutdown_timeout_s"].default
    assert int(services["worker"]["stop_grace_period"].removesuffix("s")) > budget_s + 10


def test_files_that_are_mounted_or_built_from_exist(
    services: dict[str, Any], compose: dict[str, Any]
) -> None:
    for service in services.values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in compose["volumes"]
    assert (ROOT / services["worker"]["build"]["dockerfile"]).is_file()


def test_what_the_image_is_built_from_exists_and_is_let_through() -> None:
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()
    let_through = re.findall(r"^!(\S+)", (ROOT / "deploy/Dockerfile.dockerignore").read_text(), re.MULTILINE)
    copied = [
        word for line in re.findall(r"^COPY (.+)$", dockerfile, re.MULTILINE) for word in line.split()[:-1]
    ]
    assert sorted(copied) == sorted(let_through)
    assert all((ROOT / word).exists() for word in copied)


def test_prometheus_scrapes_the_services_on_the_ports_that_they_serve(services: dict[str, Any]) -> None:
    jobs = yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text())["scrape_configs"]
    scraped = {
        found["names"][0]: str(found["port"]) for job in jobs for found in job.get("dns_sd_configs", ())
    }
    assert scraped == {
        "worker": services["worker"]["command"][-1],
        "ingest": services["ingest"]["command"][-1],
    }
    for name, port in scraped.items():
        assert services[name]["ports"][0].endswith(f":{port}")


class NoAccounts:
    backpressure = SimpleNamespace(held=False, holds=0)

    def rows(self) -> list[dict[str, Any]]:
        return []


def exported() -> set[str]:
    """The names of the metrics that a worker and an ingest export."""
    ingest = IngestMetrics(Totals(), lambda: (0, 0), dict, CollectorRegistry())
    families = [*AccountsCollector(NoAccounts()).collect(), *ingest.collect()]  # type: ignore[arg-type]
    return {family.name + ("_total" if family.type == "counter" else "") for family in families}


def test_the_dashboard_asks_for_metrics_that_are_exported() -> None:
    dashboard = json.loads((ROOT / "deploy/grafana/dashboards/tapestream.json").read_text())
    asked = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"tapestream_\w+", target["expr"])
    }
    assert asked
    assert asked <= exported()


def test_the_dashboard_is_drawn_from_the_source_that_is_provisioned() -> None:
    dashboard = json.loads((ROOT / "deploy/grafana/dashboards/tapestream.json").read_text())
    provisioned = yaml.safe_load(
        (ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text()
    )
    sources = {source["uid"] for source in provisioned["datasources"]}
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} <= sources
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
