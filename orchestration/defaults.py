"""What every DAG has in common: owner, retries, timeout, callback, tags, form fields and their templates, its page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any

from airflow.sdk import CronTriggerTimetable, Param
from airflow.sdk.exceptions import AirflowFailException

from orchestration.callbacks import alert
from recloop.settings import load_settings

OWNER = "recommendations"
GPU_POOL = "gpu"

# Airflow shows a calendar for the format `date-time`, but checks it only where another package is installed.
RFC_3339 = r"^(\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$"

DEFAULT_ARGS: dict[str, Any] = {
    "owner": OWNER,
    "retries": 1,
    "retry_delay": timedelta(seconds=30),
    "execution_timeout": timedelta(hours=2),
    "on_failure_callback": alert,
}


class Tag(StrEnum):
    """Tags of the DAGs, for the filter in the UI."""

    DATA = "data"
    FEATURES = "features"
    MODELS = "models"
    RELEASE = "release"


def at(cron: str, *, interval: timedelta = timedelta()) -> CronTriggerTimetable:
    """Return a schedule in UTC whose runs are for the `interval` before them.

    The first run is at the first tick after set-up: a DAG with a start date in the past would run at once, three heavy
    DAGs together, over a lake that is still empty. The minute lets a tick be taken that passes while the DAG is read.
    """
    return CronTriggerTimetable(cron, timezone="UTC", interval=interval, run_immediately=timedelta(minutes=1))


def pick(title: str, values: list[str], description: str) -> Param:
    """Return a form field with some values to choose from; the first is chosen at the start."""
    return Param(values[0], enum=values, type="string", title=title, description=description)


def moment(title: str, description: str) -> Param:
    """Return a form field for an optional point in time: null or nothing where it is left empty."""
    schema = {"type": ["null", "string"], "format": "date-time", "pattern": RFC_3339, "title": title}
    return Param(None, description, schema=schema)


# With a logical date of null, as a trigger by hand may have, Airflow defines no data interval.
_SCHEDULED = "data_interval_end is defined and data_interval_end"
_END = f"(data_interval_end if {_SCHEDULED} else dag_run.run_after)"
INTERVAL_END = f"{{{{ params.end or {_END}.isoformat() }}}}"
UNTIL = f"{{{{ params.until or {_END}.isoformat() }}}}"


def interval_start(length: timedelta) -> str:
    """Return a template: the form's start, else where the last good run ended, else `length` before the end.

    The last good run's end closes the gap that a failed run or a night without the stack would leave for ever.
    """
    since_last = "[prev_data_interval_end_success or data_interval_start, data_interval_start] | min"
    by_hand = f"dag_run.run_after - macros.timedelta(seconds={int(length.total_seconds())})"
    return f"{{{{ params.start or (({since_last}) if {_SCHEDULED} else ({by_hand})).isoformat() }}}}"


def documentation(*, purpose: str, red: str) -> str:
    """Return a DAG's page: purpose, owner, what to do when it is red."""
    return f"**Purpose.** {purpose}\n\n**Owner.** {OWNER}\n\n**When it is red.** {red} See docs/runbook.md.\n"


def training_folder(name: str) -> str:
    """Return a template: the folder of one run's training set or bundle; a rerun writes the same one."""
    run = "{{ run_id | replace(':', '-') | replace('+', '-') | replace('/', '-') }}"
    return f"{load_settings().var_dir}/training/{run}/{name}"


def moved_version(params: Mapping[str, Any], events: Mapping[Any, Any] | None) -> str:
    """Return the model version a release is for: the form's, else that of the newest registry event.

    Raises:
        AirflowFailException: a run by hand, which no event set off, names no version.
    """
    if params.get("version"):
        return str(params["version"])
    extras = [event.extra for of_asset in (events or {}).values() for event in of_asset]
    if not extras:
        raise AirflowFailException("no move of the alias set off this run: trigger it with a version, as in 3")
    # A watcher's event carries the trigger's payload one level down; one posted to the REST API does not.
    return str(extras[-1].get("payload", extras[-1])["version"])
