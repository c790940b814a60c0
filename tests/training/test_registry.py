from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from recloop.errors import ComponentUnavailable, ConfigurationError
from recloop.settings import Settings
from training.registry import MAX_DESCRIPTION, champion, describe, find_version, flat_metrics, open_registry


class OverloadedHandler(BaseHTTPRequestHandler):
    """Answers as a proxy does whose server is gone."""

    def do_GET(self) -> None:
        """Say 503 to whatever is asked."""
        self.send_error(503)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def overloaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server that has an outage."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    server = HTTPServer(("127.0.0.1", 0), OverloadedHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_nested_metrics_get_dotted_names_and_unknown_numbers_are_left_out() -> None:
    nested = {"heads": {"click": {"auc": 0.7, "ece": float("nan")}}, "interval": [0.1, 0.2], "name": "text"}
    assert flat_metrics(nested) == {"heads.click.auc": 0.7, "interval.0": 0.1, "interval.1": 0.2}


@pytest.mark.parametrize("n_more", [0, 1])
def test_description_is_the_card_or_its_first_lines_and_where_the_rest_is(n_more: int) -> None:
    line = "| éé |\n"
    card = line * (MAX_DESCRIPTION // len(line) + 1)
    card = card[: MAX_DESCRIPTION + n_more]
    found = describe(card)
    if not n_more:
        assert found == card
        return
    kept, rest = found.split("\n\n")
    assert rest == "The rest is in the run's artifact bundle/model_card.md."
    assert set(kept.splitlines()) == {"| éé |"}
    assert MAX_DESCRIPTION - len(line) <= len(found) <= MAX_DESCRIPTION


def test_card_of_one_line_is_cut_where_it_must_be() -> None:
    assert len(describe("é" * (MAX_DESCRIPTION + 1))) == MAX_DESCRIPTION


@pytest.mark.slow
def test_registry_that_is_down_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ComponentUnavailable, match="does not answer"):
        open_registry(Settings(mlflow_tracking_uri="http://127.0.0.1:9"))


@pytest.mark.slow
def test_nobody_is_champion_of_an_empty_registry_and_a_missing_version_is_said(tmp_path: Path) -> None:
    client = open_registry(Settings(mlflow_tracking_uri=f"sqlite:///{tmp_path}/mlflow.db"))
    client.create_registered_model("recloop")
    assert champion(client, "recloop") is None
    assert champion(client, "another") is None
    with pytest.raises(ConfigurationError, match="no version '7'; there are none"):
        find_version(client, "recloop", "7")


@pytest.mark.slow
def test_an_outage_after_the_registry_was_opened_is_not_read_as_nobody_is_champion(overloaded: str) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=overloaded, registry_uri=overloaded)
    with pytest.raises(ComponentUnavailable, match="does not answer"):
        champion(client, "recloop")
    with pytest.raises(ComponentUnavailable, match="does not answer"):
        find_version(client, "recloop", "7")
