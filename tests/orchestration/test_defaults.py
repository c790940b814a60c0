"""Templates of the DAGs, rendered as Airflow renders them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import jinja2
import pytest
from airflow.sdk.exceptions import AirflowFailException, ParamValidationError

from orchestration.defaults import UNTIL, at, documentation, moment, moved_version, training_folder

RUN = SimpleNamespace(run_after=datetime(2026, 5, 2, tzinfo=UTC))


def render(template: str, **context: object) -> str:
    return jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(template).render(**context)


def test_form_wins_over_the_interval() -> None:
    params = {"until": "2022-05-01T00:00:00Z"}
    end = datetime(2026, 5, 1, tzinfo=UTC)
    assert render(UNTIL, params=params, data_interval_end=end, dag_run=RUN) == params["until"]


def test_scheduled_run_takes_its_interval() -> None:
    end = datetime(2026, 5, 1, tzinfo=UTC)
    rendered = render(UNTIL, params={"until": None}, data_interval_end=end, dag_run=RUN)
    assert rendered == "2026-05-01T00:00:00+00:00"


def test_manual_run_without_interval_takes_its_own_time() -> None:
    assert render(UNTIL, params={"until": None}, dag_run=RUN) == "2026-05-02T00:00:00+00:00"


@pytest.mark.parametrize(
    "value", [None, "", "2022-05-01T00:00:00Z", "2022-05-01T00:00:00.000+00:00", "2022-05-01T00:00Z"]
)
def test_moment_may_be_left_empty(value: str | None) -> None:
    assert moment("Until", "…").resolve(value) == value


@pytest.mark.parametrize("value", [7, "yesterday", "2022-05-01", "2022-05-01T00:00:00", "2022-05-01T00:00:00Z; rm"])
def test_what_is_no_moment_with_its_zone_is_refused(value: object) -> None:
    with pytest.raises(ParamValidationError):
        moment("Until", "…").resolve(value)


def test_folder_of_a_run_holds_no_colon() -> None:
    rendered = render(training_folder("set"), run_id="manual__2026-05-02T00:00:00+00:00")
    assert rendered.endswith("/training/manual__2026-05-02T00-00-00-00-00/set")


@pytest.mark.parametrize(
    ("params", "events", "expected"),
    [
        pytest.param({"version": "3"}, {}, "3", id="form"),
        pytest.param({"version": ""}, {"a": [{"payload": {"version": "7"}}]}, "7", id="watcher"),
        pytest.param({"version": ""}, {"a": [{"version": "5"}, {"version": "6"}]}, "6", id="newest_of_several"),
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


@pytest.mark.parametrize("events", [{}, None])
def test_release_by_hand_without_a_version_is_refused(events: dict[str, list[object]] | None) -> None:
    with pytest.raises(AirflowFailException, match="trigger it with a version"):
        moved_version({"version": ""}, events)


def test_schedule_survives_the_way_to_the_scheduler() -> None:
    from airflow.serialization.decoders import decode_timetable
    from airflow.serialization.encoders import encode_timetable
    from airflow.timetables.base import TimeRestriction

    hour = timedelta(hours=1)
    timetable = decode_timetable(encode_timetable(at("0 * * * *", interval=hour)))
    before = datetime.now(UTC)
    first = timetable.next_dagrun_info(
        last_automated_data_interval=None, restriction=TimeRestriction(earliest=None, latest=None, catchup=False)
    )
    assert first is not None
    # The next full hour, or the one that passed less than a minute ago; never the last complete one.
    assert before - timedelta(minutes=1) <= first.run_after <= datetime.now(UTC) + hour
    assert (first.data_interval.start, first.data_interval.end) == (first.run_after - hour, first.run_after)
