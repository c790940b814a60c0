"""Templates of the DAGs, rendered as Airflow renders them."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import jinja2
import pytest

from orchestration.defaults import INTERVAL_START, UNTIL, documentation, moved_version, training_folder

RUN = SimpleNamespace(run_after=datetime(2026, 5, 2, tzinfo=UTC))


def render(template: str, **context: object) -> str:
    return jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(template).render(**context)


def test_form_wins_over_the_interval() -> None:
    start = datetime(2026, 5, 1, tzinfo=UTC)
    params = {"start": "2022-05-01T00:00:00Z"}
    assert render(INTERVAL_START, params=params, data_interval_start=start, dag_run=RUN) == params["start"]


def test_scheduled_run_takes_its_interval() -> None:
    start = datetime(2026, 5, 1, tzinfo=UTC)
    rendered = render(INTERVAL_START, params={"start": ""}, data_interval_start=start, dag_run=RUN)
    assert rendered == "2026-05-01T00:00:00+00:00"


def test_manual_run_without_interval_takes_its_own_time() -> None:
    assert render(UNTIL, params={"until": ""}, dag_run=RUN) == "2026-05-02T00:00:00+00:00"


def test_folder_of_a_run_holds_no_colon() -> None:
    rendered = render(training_folder("set"), run_id="manual__2026-05-02T00:00:00+00:00")
    assert rendered.endswith("/training/manual__2026-05-02T00-00-00-00-00/set")


@pytest.mark.parametrize(
    ("params", "events", "expected"),
    [
        pytest.param({"version": "3"}, {}, "3", id="form"),
        pytest.param({"version": ""}, {"a": [{"payload": {"version": "7"}}]}, "7", id="watcher"),
        pytest.param({"version": ""}, {"a": [{"version": "5"}, {"version": "6"}]}, "6", id="newest_of_several"),
        pytest.param({"version": ""}, {}, "", id="nothing"),
    ],
)
def test_version_of_a_release(
    params: dict[str, str], events: dict[str, list[dict[str, object]]], expected: str
) -> None:
    wrapped = {asset: [SimpleNamespace(extra=extra) for extra in extras] for asset, extras in events.items()}
    assert moved_version(params, wrapped) == expected


def test_page_of_a_dag_has_its_three_parts() -> None:
    page = documentation(purpose="P.", red="R.")
    assert [part for part in ("Purpose", "Owner", "When it is red") if f"**{part}.**" not in page] == []
