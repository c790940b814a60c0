from __future__ import annotations

from demo.clients import _error_lines, attempts


def test_last_error_of_a_log_is_found() -> None:
    log = "INFO start\nSourceError: a.csv line 3\nINFO retry\nPromotionRefused: version 3 has ndcg@10 0.1\nINFO exit 1"
    assert next(_error_lines(log)) == "PromotionRefused: version 3 has ndcg@10 0.1"


def test_log_without_an_error_gives_nothing() -> None:
    assert list(_error_lines("INFO fine")) == []


def test_attempts_end() -> None:
    assert len(list(attempts(0.05, every=0.02))) <= 3
