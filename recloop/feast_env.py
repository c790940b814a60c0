"""What feature_repo/feature_store.yaml leaves open: addresses and secrets, as environment variables.

Batch jobs, the streaming job and serving open the same feature store with
`os.environ.update(feast_environment(settings)); FeatureStore(repo_path=str(FEATURE_REPO))`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from recloop.lake import spark_conf
from recloop.settings import PROJECT_DIR, Database, Settings

FEATURE_REPO = PROJECT_DIR / "feature_repo"


def feast_environment(
    settings: Settings, *, offline: bool = False, redis: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the variables that feature_store.yaml names.

    Args:
        settings: of this process.
        offline: whether this process may start Spark through Feast; others need no jars and get no lake password.
        redis: further options of the Redis client, such as `socket_timeout`, as JSON.
    """
    online = {"password": settings.redis_password.get_secret_value(), **(redis or {})}
    values = {
        # The driver that feast[postgres] brings: the streaming and serving environments have no psycopg2.
        "RECLOOP_FEAST_REGISTRY": settings.postgres_url(Database.FEAST, driver="postgresql+psycopg"),
        "RECLOOP_FEAST_ONLINE": ",".join([settings.redis, *(f"{name}={value}" for name, value in online.items())]),
        "RECLOOP_FEAST_SPARK_CONF": spark_conf(settings) if offline else {},
    }
    # YAML reads JSON: whatever a password holds, and the whole mapping, arrive as they are.
    return {name: json.dumps(value) for name, value in values.items()}
