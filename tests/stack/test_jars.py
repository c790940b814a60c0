"""The jars' versions fit what the environments hold, and are there after set-up."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from stack.jars import CONFIGURATIONS, IVY_FILE, _reason, jars
from stack.places import REQUIREMENTS_DIR


def revision(name: str) -> str:
    (found,) = [node for node in ET.parse(IVY_FILE).iter("dependency") if node.attrib["name"] == name]
    return found.attrib["rev"]


def locked(environment: str, package: str) -> str:
    found = re.search(rf"^{package}==(\S+)", (REQUIREMENTS_DIR / f"{environment}.txt").read_text(), re.MULTILINE)
    assert found, f"{package} is not in the lock of {environment}"
    return found.group(1)


def test_spark_jars_are_those_of_the_locked_pyspark() -> None:
    pyspark = locked("core", "pyspark")
    assert revision("spark-sql-kafka-0-10_2.13") == pyspark
    minor = ".".join(pyspark.split(".")[:2])
    assert revision(f"iceberg-spark-runtime-{minor}_2.13")


def test_flink_connector_is_made_for_the_locked_flink() -> None:
    minor = ".".join(locked("streaming", "apache-flink").split(".")[:2])
    assert revision("flink-sql-connector-kafka").endswith(f"-{minor}")


def test_the_client_in_feasts_environments_is_the_locked_pysparks() -> None:
    assert locked("streaming", "pyspark-client") == locked("serving", "pyspark-client") == locked("core", "pyspark")


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_set_up_left_the_jars(configuration: str) -> None:
    assert jars(configuration)


def test_reason_of_a_failure_is_short(tmp_path: Path) -> None:
    log = tmp_path / "ivy.log"
    log.write_text("found a\n" * 50 + "	:: org.x#y;1: not found\n" + "found b\n" * 50)
    assert _reason(log) == ":: org.x#y;1: not found"
