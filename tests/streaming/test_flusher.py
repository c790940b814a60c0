"""The newest row per user reaches the store, and only what it took is acknowledged."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest

from jobs.streaming import flusher as module
from jobs.streaming.flusher import Flusher, Row
from recloop.sequences import Entry


def row(name: str) -> Row:
    return [Entry(1, 1, name, "click", 0)]


class Store:
    """Takes rows, or refuses, or holds a write until it is told to go on."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.n_writes = 0
        self.down = False
        self.go = threading.Event()
        self.go.set()

    def write(self, rows: Mapping[str, Row]) -> None:
        self.n_writes += 1
        self.go.wait(5)
        if self.down:
            raise ConnectionError("connection refused")
        self.rows.update(rows)


@contextmanager
def running(store: Store) -> Iterator[Flusher]:
    flusher = Flusher(store.write)
    flusher.start()
    try:
        yield flusher
    finally:
        store.go.set()
        flusher.close()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_row_is_written_and_acknowledged() -> None:
    store = Store()
    with running(store) as flusher:
        assert not flusher.acknowledged("u", 1)
        flusher.offer("u", 1, row("a"))
        wait_for(lambda: flusher.acknowledged("u", 1))
    assert store.rows == {"u": row("a")}
    assert not flusher.acknowledged("u", 2)


def test_newest_value_wins_while_a_write_is_under_way() -> None:
    store = Store()
    store.go.clear()
    with running(store) as flusher:
        flusher.offer("first", 0, row("z"))
        wait_for(lambda: store.n_writes == 1)
        for digest in range(1, 4):
            flusher.offer("u", digest, row(str(digest)))
        store.go.set()
        wait_for(lambda: flusher.acknowledged("u", 3))
    assert store.rows["u"] == row("3")
    assert store.n_writes == 2


def test_row_is_tried_again_until_the_store_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_RETRY_SECONDS", 0.005)
    store = Store()
    store.down = True
    with running(store) as flusher:
        flusher.offer("u", 1, row("a"))
        wait_for(lambda: store.n_writes >= 3)
        assert not flusher.acknowledged("u", 1)
        flusher.offer("u", 2, row("b"))  # newer than the one that failed
        store.down = False
        wait_for(lambda: flusher.acknowledged("u", 2))
    assert store.rows == {"u": row("b")}


def test_full_buffer_refuses_new_users_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PENDING", 2)
    flusher = Flusher(Store().write)  # not started: nothing leaves it
    assert flusher.offer("a", 1, row("a"))
    assert flusher.offer("b", 1, row("b"))
    assert not flusher.offer("c", 1, row("c"))
    assert flusher.offer("a", 2, row("a2"))


def test_oldest_acknowledgements_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ACKNOWLEDGED", 2)
    with running(Store()) as flusher:
        for user_id in ("a", "b", "a", "c"):
            flusher.offer(user_id, 1, row("x"))
            wait_for(lambda user_id=user_id: flusher.acknowledged(user_id, 1))  # type: ignore[misc]
    assert [flusher.acknowledged(user_id, 1) for user_id in "abc"] == [True, False, True]


def test_closing_writes_what_is_pending() -> None:
    store = Store()
    store.go.clear()
    with running(store) as flusher:
        flusher.offer("u", 1, row("a"))
        flusher.offer("v", 1, row("b"))
    assert store.rows.keys() == {"u", "v"}


def test_closing_does_not_wait_for_a_store_that_is_away() -> None:
    store = Store()
    store.down = True
    with running(store) as flusher:
        flusher.offer("u", 1, row("a"))
        wait_for(lambda: store.n_writes >= 1)
        before = time.monotonic()
        flusher.close()
        assert time.monotonic() - before < 2
