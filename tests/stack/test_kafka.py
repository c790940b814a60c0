"""The broker's configuration."""

from __future__ import annotations

from pathlib import Path

from recloop.settings import Settings
from stack.jars import jars
from stack.kafka import broker_argv, server_properties


def properties(settings: Settings) -> dict[str, str]:
    lines = server_properties(settings, settings.var_dir / "kafka").splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_broker_listens_on_the_settings_ports_of_loopback(settings: Settings) -> None:
    found = properties(settings)
    assert found["listeners"] == "PLAINTEXT://127.0.0.1:20003,CONTROLLER://127.0.0.1:20004"
    assert found["advertised.listeners"] == "PLAINTEXT://127.0.0.1:20003"
    assert found["controller.quorum.voters"] == "1@127.0.0.1:20004"


def test_topic_that_nobody_declared_is_not_made_up(settings: Settings) -> None:
    assert properties(settings)["auto.create.topics.enable"] == "false"


def test_broker_gets_a_small_heap_and_a_log() -> None:
    argv = broker_argv(Path("folder"))
    assert "-Xmx256m" in argv
    assert argv[-2:] == ["kafka.Kafka", "folder/server.properties"]
    assert any(jar.name.startswith("log4j-slf4j") for jar in jars("kafka")), "the broker would log nowhere"
