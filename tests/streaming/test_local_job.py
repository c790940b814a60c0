"""The job is looked after: a taken port is named, its own end is an error, a stop is none."""

from __future__ import annotations

import socket
import threading
from types import SimpleNamespace

import pytest
from py4j.protocol import Py4JNetworkError

from jobs.streaming import local_job
from jobs.streaming.local_job import check_port, is_consuming, wait_for_end
from recloop.errors import MachineError
from recloop.settings import Port, Settings


class Job:
    """A job client: its state, and what cancelling it did."""

    def __init__(self, state: str, *, jvm_gone: bool = False) -> None:
        self.state = state
        self.jvm_gone = jvm_gone
        self.cancelled = False

    def get_job_status(self) -> SimpleNamespace:
        return SimpleNamespace(result=lambda: SimpleNamespace(name=self.state))

    def cancel(self) -> SimpleNamespace:
        if self.jvm_gone:
            raise Py4JNetworkError("Answer from Java side is empty")
        self.cancelled = True
        return SimpleNamespace(result=lambda: None)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_job, "POLL_SECONDS", 0.001)


def test_taken_port_is_named_with_the_fix() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        settings = Settings(ports_from=other.getsockname()[1] - Port.FLINK)
        with pytest.raises(MachineError, match=rf"port {other.getsockname()[1]} .* RECLOOP_PORTS_FROM"):
            check_port(settings)
    check_port(settings)


@pytest.mark.parametrize("state", ["FAILED", "FINISHED", "CANCELED"])
def test_job_that_ends_by_itself_is_an_error(state: str) -> None:
    assert wait_for_end(Job(state), threading.Event(), lambda: False) == 1  # type: ignore[arg-type]


def test_stop_cancels_the_job_and_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    stop, job = threading.Event(), Job("RUNNING")

    def consuming() -> bool:
        stop.set()
        return True

    with caplog.at_level("INFO"):
        assert wait_for_end(job, stop, consuming) == 0  # type: ignore[arg-type]
    assert job.cancelled
    assert caplog.messages[0].startswith("RUNNING:")


def test_stop_after_the_jvm_has_ended_is_no_error() -> None:
    stop = threading.Event()
    stop.set()
    assert wait_for_end(Job("RUNNING", jvm_gone=True), stop, lambda: True) == 0  # type: ignore[arg-type]


def test_nobody_listening_means_not_consuming_yet() -> None:
    assert not is_consuming(Settings(ports_from=1024))
