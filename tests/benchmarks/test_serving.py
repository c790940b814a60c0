"""A serving process as its clients see it: every answer is a sample, and no answer is an error."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from benchmarks.serving import WARM_UP, main, measured
from recloop.errors import ComponentUnavailable


class Page(BaseHTTPRequestHandler):
    """Answers every third request with an error, the others by the model."""

    protocol_version = "HTTP/1.1"
    asked: list[str] = []  # noqa: RUF012 - the server makes a handler per connection; all write into one list
    lock = threading.Lock()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        with self.lock:
            self.asked.append(self.path)
            third = len(self.asked) % 3 == 0
        body = json.dumps({} if third else {"served_by": "model"}).encode()
        self.send_response(503 if third else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *given: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    Page.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def ask(client: httpx.Client, number: int) -> httpx.Response:
    return client.post(f"/page/{number}", json={})


@pytest.mark.parametrize(("n_requests", "n_clients", "n"), [(9, 1, 9), (10, 2, 10), (10, 3, 9)])
def test_every_answer_after_the_warm_up_is_a_sample(url: str, n_requests: int, n_clients: int, n: int) -> None:
    found = measured(url, ask, n_requests, n_clients)
    assert found["n"] == len(found["samples_ms"]) == sum(found["outcomes"].values()) == n
    assert len(set(Page.asked)) == len(Page.asked) == n_clients * WARM_UP + n, "no client asks what another did"
    assert set(found["outcomes"]) == {"200 model", "503"}
    assert 0 < found["p50_ms"] <= found["p95_ms"] <= found["p99_ms"] <= max(found["samples_ms"]) + 0.01


def test_nobody_who_answers_is_said(url: str) -> None:
    nowhere = "http://127.0.0.1:1"
    with pytest.raises(ComponentUnavailable, match=r"serving at http://127\.0\.0\.1:1 does not answer: .*refused"):
        measured(nowhere, ask, 4, 2)


@pytest.mark.parametrize("options", [["--clients", "0"], ["--requests", "3", "--clients", "4"], ["--users", "0"]])
def test_numbers_that_leave_nothing_to_measure_are_refused(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(options)
    assert "--clients and --users are 1 or more, and --requests no fewer than --clients" in capsys.readouterr().err
