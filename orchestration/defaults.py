"""What every DAG has in common: owner, retries, timeout, callback, tags, and the form of its documentation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any

from orchestration.callbacks import alert
from recloop.settings import load_settings

OWNER = "recommendations"
START = load_settings().schedules_from
GPU_POOL = "gpu"

DEFAULT_ARGS: dict[str, Any] = {
    "owner": OWNER,
    "retries": 1,
    "retry_delay": timedelta(seconds=30),
    "execution_timeout": timedelta(hours=2),
    "on_failure_callback": alert,
}

# With a logical date of null, as a manual trigger has, Airflow defines no data interval.
_END = "(data_interval_end if data_interval_end is defined and data_interval_end else dag_run.run_after)"
_START = "(data_interval_start if data_interval_start is defined and data_interval_start else dag_run.run_after)"
INTERVAL_START = f"{{{{ params.start or {_START}.isoformat() }}}}"
INTERVAL_END = f"{{{{ params.end or {_END}.isoformat() }}}}"
UNTIL = f"{{{{ params.until or {_END}.isoformat() }}}}"


class Tag(StrEnum):
    """Tags of the DAGs, for the filter in the UI."""

    DATA = "data"
    FEATURES = "features"
    MODELS = "models"
    RELEASE = "release"


def documentation(*, purpose: str, red: str) -> str:
    """Return a DAG's page: purpose, owner, what to do when it is red."""
    return f"**Purpose.** {purpose}\n\n**Owner.** {OWNER}\n\n**When it is red.** {red} See docs/runbook.md.\n"


def training_folder(name: str) -> str:
    """Return a template: the folder of one run's training set or bundle; a rerun writes the same one."""
    run = "{{ run_id | replace(':', '-') | replace('+', '-') }}"
    return f"{load_settings().var_dir}/training/{run}/{name}"


def moved_version(params: Mapping[str, Any], events: Mapping[Any, Any] | None) -> str:
    """Return the model version a release is for: the form's, else that of the newest registry event, else nothing."""
    if params.get("version"):
        return str(params["version"])
    extras = [event.extra for of_asset in (events or {}).values() for event in of_asset]
    return str(extras[-1].get("payload", extras[-1]).get("version", "")) if extras else ""
