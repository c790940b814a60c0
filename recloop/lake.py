"""How the lake is opened: one Iceberg catalogue in PostgreSQL, the same for Spark, Feast and pyiceberg."""

from __future__ import annotations

from recloop.errors import MachineError
from recloop.settings import PROJECT_DIR, Database, Port, Settings
from recloop.tables import CATALOG

JARS_DIR = PROJECT_DIR / "var" / "jars" / "spark"
CLASS_ARCHIVE = PROJECT_DIR / "var" / "spark.jsa"
"""Spark's classes as the JVM keeps them in memory (class data sharing); `make setup` writes it."""
CATALOG_PASSWORD = f"spark.sql.catalog.{CATALOG}.jdbc.password"
JAVA_OPTIONS = "spark.driver.extraJavaOptions"
JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:ReservedCodeCacheSize=240m"
"""Jobs live for seconds: a compiler that starts fast beats one that optimises, and one GC thread is enough.

The one-level compiler would reserve 48 MB for code, which a job of many plans fills; then the JVM stops."""


def spark_conf(settings: Settings) -> dict[str, str]:
    """Return the configuration of every Spark session; it holds the catalogue's password, so never log it.

    Raises:
        MachineError: the jars were not fetched yet.
    """
    jars, is_local = sorted(str(path) for path in JARS_DIR.glob("*.jar")), settings.spark_master.startswith("local")
    if not jars and is_local:
        raise MachineError(f"{JARS_DIR} has no jars; Spark needs Iceberg's there. Run `make setup`.")
    postgres = settings.postgres_address or settings.address(Port.POSTGRES)
    catalog = f"spark.sql.catalog.{CATALOG}"
    return {
        # Off the class path a session copies the jars at its start, and no archive holds their classes.
        **({"spark.driver.extraClassPath": ":".join(jars)} if is_local else {"spark.jars": ",".join(jars)}),
        catalog: "org.apache.iceberg.spark.SparkCatalog",
        f"{catalog}.type": "jdbc",
        f"{catalog}.uri": f"jdbc:postgresql://{postgres}/{Database.LAKE}",
        f"{catalog}.jdbc.user": settings.postgres_user,
        CATALOG_PASSWORD: settings.postgres_password.get_secret_value(),
        f"{catalog}.jdbc.schema-version": "V1",
        f"{catalog}.warehouse": settings.warehouse_uri,
        "spark.master": settings.spark_master,
        "spark.driver.memory": settings.spark_driver_memory,
        "spark.local.dir": str(settings.var_dir / "tmp"),
        "spark.sql.session.timeZone": "UTC",
        # The data of one machine fits few tasks, and each costs more than it computes.
        "spark.sql.shuffle.partitions": "4",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        JAVA_OPTIONS: f"{JVM} -Duser.timezone=UTC{_archive() if is_local else ''}",
        "spark.driver.host": settings.host,
        "spark.driver.bindAddress": settings.host,
    }


def _archive() -> str:
    # A JVM that the archive does not fit starts without it, as it does without these options.
    return f" -XX:SharedArchiveFile={CLASS_ARCHIVE} -Xshare:auto -Xlog:cds*=off" if CLASS_ARCHIVE.exists() else ""


def iceberg_properties(settings: Settings) -> dict[str, str]:
    """Return the properties with which pyiceberg opens the same catalogue (`load_catalog(CATALOG, **properties)`)."""
    return {
        "type": "sql",
        "uri": settings.postgres_url(Database.LAKE),
        "warehouse": settings.warehouse_uri,
        "init_catalog_tables": "false",
    }
