"""The Spark session of every batch job: the lake's catalogue, UTC, no web page, little memory."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from recloop.errors import ComponentUnavailable
from recloop.lake import CATALOG_PASSWORD, spark_conf
from recloop.settings import Port, Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@contextmanager
def spark_session(name: str, settings: Settings) -> Iterator[SparkSession]:
    """Start a Spark session, stop it at the end.

    Raises:
        ComponentUnavailable: PostgreSQL, which holds the lake's catalogue, does not answer.
    """
    spark = start_spark(name, settings)
    try:
        yield spark
    finally:
        spark.stop()


def start_spark(name: str, settings: Settings) -> SparkSession:
    """Start a Spark session that the caller stops."""
    _check_catalogue(settings)
    # Spark hands naive datetimes to Python in the process's own zone; there is one zone here.
    os.environ["TZ"] = "UTC"
    time.tzset()
    # Workers run in this interpreter's environment, not in whatever `python3` is on PATH.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_LOCAL_IP", settings.host)
    (settings.var_dir / "tmp").mkdir(parents=True, exist_ok=True)
    from pyspark import SparkConf
    from pyspark.sql import SparkSession

    options = spark_conf(settings)
    # PySpark puts what it starts the JVM with on its command line, which every user of the machine can read.
    # The catalogue is opened at its first use, so its password comes in time after the start.
    password = options.pop(CATALOG_PASSWORD)
    conf = SparkConf().setAppName(name).setAll(list(options.items()))
    spark = SparkSession.builder.config(conf=conf).getOrCreate()
    spark.conf.set(CATALOG_PASSWORD, password)
    # Iceberg and Kafka warn about harmless things at each start; what fails raises.
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def _check_catalogue(settings: Settings) -> None:
    address = settings.postgres_address or settings.address(Port.POSTGRES)
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        raise ComponentUnavailable(
            f"PostgreSQL at {address} holds the lake's catalogue and does not answer ({error}). "
            "Start it with `make up`."
        ) from error
