from __future__ import annotations

import pytest

from recloop.errors import ComponentUnavailable
from recloop.settings import Settings
from training.registry import flat_metrics, open_registry


def test_nested_metrics_get_dotted_names_and_unknown_numbers_are_left_out() -> None:
    nested = {"heads": {"click": {"auc": 0.7, "ece": float("nan")}}, "interval": [0.1, 0.2], "name": "text"}
    assert flat_metrics(nested) == {"heads.click.auc": 0.7, "interval.0": 0.1, "interval.1": 0.2}


@pytest.mark.slow
def test_registry_that_is_down_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ComponentUnavailable, match="does not answer"):
        open_registry(Settings(mlflow_tracking_uri="http://127.0.0.1:9"))
