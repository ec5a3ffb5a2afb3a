"""What the embedded broker is told."""

from pathlib import Path

import pytest

from streams.broker.config import (
    ListenerSecurity,
    NodePlan,
    format_command,
    logging_config,
    server_command,
    server_properties,
)

NODE = NodePlan(1, Path("/data/kafka/node-1"), client_port=9092, internal_port=20001, controller_port=20002)
SECOND = NodePlan(2, Path("/data/kafka/node-2"), client_port=9093, internal_port=20003, controller_port=20004)


def properties(*cluster: NodePlan, security: ListenerSecurity | None = None) -> dict[str, str]:
    text = server_properties(cluster[0], cluster, security or ListenerSecurity())
    return dict(line.split("=", 1) for line in text.splitlines())


def test_every_listener_is_on_the_loopback_address() -> None:
    given = properties(NODE)
    listeners = given["listeners"].split(",") + given["advertised.listeners"].split(",")
    assert [listener.split("//")[1].split(":")[0] for listener in listeners] == ["127.0.0.1"] * 5


def test_a_single_node_needs_no_second_replica_of_anything() -> None:
    given = properties(NODE)
    replication = [
        value for key, value in given.items() if key.endswith(("replication.factor", "isr", "replicas"))
    ]
    assert len(replication) == 7
    assert set(replication) == {"1"}


def test_three_nodes_keep_three_replicas_and_write_with_two() -> None:
    third = NodePlan(3, Path("/n3"), 9094, 20005, 20006)
    given = properties(NODE, SECOND, third)
    assert given["offsets.topic.replication.factor"] == "3"
    assert given["min.insync.replicas"] == "2"
    assert given["controller.quorum.voters"] == "1@127.0.0.1:20002,2@127.0.0.1:20004,3@127.0.0.1:20006"


def test_what_the_caller_adds_wins() -> None:
    text = server_properties(NODE, (NODE,), ListenerSecurity(), {"num.io.threads": "1"})
    assert [line for line in text.splitlines() if line.startswith("num.io")] == ["num.io.threads=1"]


def test_a_path_outside_latin_1_is_written_as_java_reads_it() -> None:
    node = NodePlan(1, Path("/data/Märkte 株\\x/node-1"), 1, 2, 3)
    assert properties(node)["log.dirs"] == r"/data/M\u00e4rkte \u682a\\x/node-1/log"


def test_a_line_break_in_a_value_cannot_start_another_property() -> None:
    security = ListenerSecurity("SASL_PLAINTEXT", users={"ada": "x\nlog.dirs=/etc"})
    assert properties(NODE, security=security)["log.dirs"] == "/data/kafka/node-1/log"


def test_an_ampersand_in_the_path_leaves_the_logging_configuration_well_formed() -> None:
    from xml.etree import ElementTree

    config = logging_config(NodePlan(1, Path('/data/a&b"c'), 1, 2, 3))
    appender = ElementTree.fromstring(config).find("./Appenders/RollingFile")
    assert appender is not None
    assert appender.get("fileName") == '/data/a&b"c/server.log'


def test_only_clients_are_asked_for_a_password() -> None:
    given = properties(
        NODE, security=ListenerSecurity("SASL_SSL", users={"ada": "pw"}, keystore=Path("/k.pem"))
    )
    assert (
        given["listener.security.protocol.map"] == "CLIENT:SASL_SSL,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT"
    )
    assert given["listener.name.client.ssl.keystore.location"] == "/k.pem"
    assert 'user_ada="pw"' in given["listener.name.client.plain.sasl.jaas.config"]


def test_scram_users_are_made_when_the_log_is_formatted() -> None:
    security = ListenerSecurity("SASL_PLAINTEXT", "SCRAM-SHA-512", {"ada": "pw"})
    command = format_command(NODE, Path("java"), [Path("a.jar")], "id", security)
    assert command[-1] == "--add-scram=SCRAM-SHA-512=[name=ada,password=pw]"
    assert "pw" not in "".join(properties(NODE, security=security).values())


def test_passwords_do_not_show_when_the_security_is_printed() -> None:
    assert "secret" not in repr(ListenerSecurity("SASL_PLAINTEXT", users={"ada": "secret"}))


@pytest.mark.parametrize("heap_mb", [256, 1024])
def test_the_heap_is_the_one_that_was_asked_for(heap_mb: int) -> None:
    command = server_command(NODE, Path("/bin/java"), [Path("/a.jar"), Path("/b.jar")], heap_mb)
    assert command[0] == "/bin/java"
    assert command[command.index("-cp") + 1] == "/a.jar:/b.jar"
    assert f"-Xmx{heap_mb}m" in command
    assert command[-2:] == ["kafka.Kafka", "/data/kafka/node-1/server.properties"]
