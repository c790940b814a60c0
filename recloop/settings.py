"""One frozen Settings object, read from `RECLOOP_*` and from `var/recloop.env`.

`var/recloop.env` is written by `make setup` (mode 600): it holds the secrets made for this folder. A cluster sets the
same names in its own way. Build Settings at the edge (`load_settings()`), pass it by keyword; importing this module
reads nothing.
"""

from __future__ import annotations

import os
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import quote

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from recloop.errors import ConfigurationError

ENV_FILE = Path("var/recloop.env")
PROJECT_DIR = Path(__file__).resolve().parent.parent

DeviceChoice = Literal["auto", "cpu", "cuda"]
DEVICE_CHOICES: tuple[str, ...] = get_args(DeviceChoice)
RankerChoice = Literal["auto", "off", "mean", "transformer"]
RANKER_CHOICES: tuple[str, ...] = get_args(RankerChoice)
FusionChoice = Literal["cross_attention", "concat"]
FUSION_CHOICES: tuple[str, ...] = get_args(FusionChoice)


class Port(IntEnum):
    """Offsets from `ports_from`: every listener of the one-machine stack, all on loopback."""

    POSTGRES = 1
    REDIS = 2
    KAFKA = 3
    KAFKA_CONTROLLER = 4
    MLFLOW = 5
    AIRFLOW = 6
    FLINK = 7
    SERVING = 8


class Database(StrEnum):
    """The databases on the one PostgreSQL server."""

    AIRFLOW = "airflow"
    MLFLOW = "mlflow"
    FEAST = "feast"
    LAKE = "lake"


class Environment(StrEnum):
    """The four virtual environments under `.venv/`."""

    CORE = "core"
    STREAMING = "streaming"
    ORCHESTRATION = "orchestration"
    SERVING = "serving"


class Settings(BaseSettings):
    """What differs between a laptop, CI and a cluster; everything else is code."""

    model_config = SettingsConfigDict(
        env_prefix="RECLOOP_", frozen=True, extra="ignore", env_file_encoding="utf-8", validate_default=True
    )

    var_dir: Path = Field(PROJECT_DIR / "var", description="Everything the stack writes: data, logs, secrets.")
    ports_from: int = Field(18080, ge=1024, le=65000, description="First port; each component adds its offset.")
    host: str = Field("127.0.0.1", description="Address the components listen on and are reached at.")

    kafka_bootstrap_servers: str = Field("", description="Kafka brokers; empty: the local broker.")
    redis_address: str = Field("", description="Online store as host:port; empty: the local server.")
    redis_password: SecretStr = Field(SecretStr(""), description="Password of the online store.")
    postgres_address: str = Field("", description="PostgreSQL as host:port; empty: the local server.")
    postgres_user: str = Field("recloop", description="PostgreSQL role that owns the four databases.")
    postgres_password: SecretStr = Field(SecretStr(""), description="Password of that role.")
    mlflow_tracking_uri: str = Field("", description="MLflow server; empty: the local one.")
    airflow_url: str = Field("", description="Airflow's api-server; empty: the local one.")
    airflow_user: str = Field("admin", description="Airflow user that triggers DAG runs.")
    airflow_password: SecretStr = Field(SecretStr(""), description="Password of that user.")
    airflow_secret: SecretStr = Field(SecretStr(""), description="Signs Airflow's sessions and task tokens.")
    airflow_fernet_key: SecretStr = Field(SecretStr(""), description="Encrypts Airflow's connections.")
    serving_url: str = Field("", description="The recommendation API; empty: the local process.")
    serving_token: SecretStr = Field(SecretStr(""), description="Bearer token of the API's /internal pages.")

    warehouse: str = Field("", description="Iceberg warehouse URI; empty: var/lake.")
    spark_master: str = Field("local[2]", description="Spark master of every job.")
    spark_driver_memory: str = Field("1g", description="Heap of the Spark driver.")

    model_name: str = Field("recloop", description="Registered model in MLflow.")
    device: DeviceChoice = Field("auto", description="Where training runs; auto: CUDA if there.")
    epochs: int = Field(8, ge=1, description="Most epochs of the transformer; it stops early on validation.")
    ranker: RankerChoice = Field(
        "auto",
        description="Form of a bundle's ranker: how it reads the last actions; auto: the lightest, and a "
        "heavier one in its place (on a CPU: of few rows), if the heads are better with it, by the interval.",
    )
    fusion: FusionChoice = Field(
        "cross_attention",
        description="Where the ranker's transformer meets the candidate; cross_attention: after it, which runs once "
        "per request; concat: in every action, so that it runs once per candidate.",
    )
    ranker_epochs: int = Field(2, ge=1, description="Most epochs of the ranker; it overfits after two or three.")
    # LightGBM holds it in 32 bits with a sign, and makes another seed of a larger one without a word.
    seed: int = Field(17, ge=0, lt=2**31, description="Seed that every random choice is derived from.")
    threads: int = Field(
        2,
        ge=1,
        description="Threads that train and judge; the same seed and threads give the same bytes on one machine.",
    )
    gate_min_ndcg_difference: float = Field(
        -0.01, description="Smallest ndcg@10 difference, challenger minus champion, that the gate lets pass."
    )

    attribution_window_hours: int = Field(24, ge=1, description="How long after an impression an interaction counts.")
    online_row_max_age_hours: int = Field(48, ge=1, description="Age after which an online batch row is stale.")
    request_deadline_ms: int = Field(250, ge=10, description="After it a request is answered by the fallback.")
    release_poll_seconds: float = Field(1.0, gt=0, description="How often serving looks where `champion` points.")
    exploration_rate: float = Field(0.05, ge=0, le=1, description="Chance that a position shows a random candidate.")
    value_weights: dict[str, float] = Field(
        {"click": 1.0, "long_view": 0.5, "like": 1.0, "hide": -1.0},
        description="JSON: head → weight; the weighted sum orders a slate.",
    )

    @property
    def kafka(self) -> str:
        """Kafka brokers as `host:port,…`."""
        return self.kafka_bootstrap_servers or self.address(Port.KAFKA)

    @property
    def redis(self) -> str:
        """Online store as `host:port`."""
        return self.redis_address or self.address(Port.REDIS)

    @property
    def mlflow(self) -> str:
        """Base URL of the MLflow server."""
        return self.mlflow_tracking_uri or f"http://{self.address(Port.MLFLOW)}"

    @property
    def airflow(self) -> str:
        """Base URL of Airflow's api-server."""
        return self.airflow_url or f"http://{self.address(Port.AIRFLOW)}"

    @property
    def serving(self) -> str:
        """Base URL of the recommendation API."""
        return self.serving_url or f"http://{self.address(Port.SERVING)}"

    @property
    def warehouse_uri(self) -> str:
        """Root of the Iceberg tables."""
        return self.warehouse or (self.var_dir / "lake").as_uri()

    def port(self, port: Port) -> int:
        """Return the local port of one component."""
        return self.ports_from + port

    def address(self, port: Port) -> str:
        """Return `host:port` of one local component."""
        return f"{self.host}:{self.port(port)}"

    def postgres_url(self, database: Database, driver: str = "postgresql+psycopg2") -> str:
        """Return a SQLAlchemy URL with the password in it; never log it."""
        user, password = (
            quote(part, safe="") for part in (self.postgres_user, self.postgres_password.get_secret_value())
        )
        address = self.postgres_address or self.address(Port.POSTGRES)
        return f"{driver}://{user}:{password}@{address}/{database}"


def load_settings(env_file: Path | None = None, **options: Any) -> Settings:
    """Read the environment, and below it `env_file` (default: `$RECLOOP_ENV_FILE`, else `var/recloop.env`).

    A missing env file counts as empty: a cluster may set everything in the environment. Over both stand a command's
    options, by the setting's name; None is one that was not given.

    Raises:
        ConfigurationError: a value does not parse or is out of its range; names the variable or the option.
    """
    path = env_file or Path(os.environ.get("RECLOOP_ENV_FILE", PROJECT_DIR / ENV_FILE))
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return Settings(_env_file=path, **given)
    except ValidationError as error:
        first = error.errors()[0]
        name, found = "_".join(str(part) for part in first["loc"]), f"is {first['input']!r}: {first['msg']}."
        if name in given:
            raise ConfigurationError(f"--{name} {found} Correct it.") from error
        raise ConfigurationError(
            f"RECLOOP_{name.upper()} {found} Correct it in the environment or in {path}."
        ) from error
