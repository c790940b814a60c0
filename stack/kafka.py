"""A Kafka broker in KRaft mode, broker and controller in one small JVM: its configuration, its storage, its topics."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import uuid
from pathlib import Path

from recloop.errors import ComponentUnavailable, MachineError
from recloop.settings import Port, Settings
from recloop.tables import Topic
from stack.places import JARS_DIR, JAVA_HOME

PARTITIONS = 2
# A reject carries the original bytes of an event, which may be as large as the broker takes, and the reason.
REJECT_MAX_BYTES = 3 * 1024 * 1024
LOG_CONFIG = Path(__file__).with_name("kafka-log4j2.properties")


def broker_argv(folder: Path) -> list[str]:
    """Return the argv of the broker whose files lie in `folder`."""
    heap = ["-Xms128m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:MaxDirectMemorySize=64m"]
    return [*_java(*heap, f"-Dlog4j2.configurationFile={LOG_CONFIG}"), "kafka.Kafka", str(folder / "server.properties")]


def server_properties(settings: Settings, folder: Path) -> str:
    """Return the broker's configuration."""
    broker, controller = settings.address(Port.KAFKA), settings.address(Port.KAFKA_CONTROLLER)
    properties = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{broker},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://{broker}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": folder / "data",
        # A topic that nobody declared is a misspelt one.
        "auto.create.topics.enable": "false",
        # The internal topics of a cluster of one: no replica, few partitions.
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,
    }
    return "".join(f"{name}={value}\n" for name, value in properties.items())


def prepare_broker(settings: Settings) -> None:
    """Write the configuration, and format the storage once."""
    folder = settings.var_dir / "kafka"
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "server.properties"
    config.write_text(server_properties(settings, folder))
    if (folder / "data" / "meta.properties").exists():
        return
    shutil.rmtree(folder / "data", ignore_errors=True)
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    done = subprocess.run(
        # With "=", for one id in 64 begins with "-" and would be read as an option.
        [*_java(), "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "--config", str(config)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"LC_ALL": "C.UTF-8"},
    )
    if done.returncode != 0:
        raise MachineError(f"Kafka's storage in {folder} cannot be formatted:\n{(done.stdout + done.stderr).strip()}")


def create_topics(settings: Settings) -> None:
    """Create the topics that are not there yet."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient
    from confluent_kafka.cimpl import NewTopic

    admin = AdminClient({"bootstrap.servers": settings.kafka, "log_level": 0})
    existing = set(admin.list_topics(timeout=30).topics)
    options = {Topic.REJECTS: {"max.message.bytes": str(REJECT_MAX_BYTES)}}
    missing = [
        NewTopic(topic, num_partitions=PARTITIONS, replication_factor=1, config=options.get(topic, {}))
        for topic in Topic
        if topic not in existing
    ]
    for topic, future in admin.create_topics(missing).items() if missing else []:
        try:
            future.result(timeout=30)
        except KafkaException as error:
            raise ComponentUnavailable(f"topic {topic} cannot be created: {error}") from error


def _java(*options: str) -> list[str]:
    return [str(JAVA_HOME / "bin" / "java"), *options, "-cp", f"{JARS_DIR / 'kafka'}/*"]
