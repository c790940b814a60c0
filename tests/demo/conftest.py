"""An HTTP server that answers what a test tells it: for the answers that a healthy component does not give."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from recloop.settings import Settings


class Answers:
    """Answers by path; a list of answers is used up one by one, its last one stays. Unknown paths: 404."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.asked: list[tuple[str, str, Any]] = []
        self._answers: dict[str, list[tuple[int, Any]]] = {}

    def say(self, path: str, status: int, body: Any) -> None:
        """Add an answer to a path."""
        self._answers.setdefault(path, []).append((status, body))

    def next(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """Return the answer to one question."""
        plain = path.partition("?")[0]
        self.asked.append((method, plain, body))
        answers = self._answers.get(plain, [(404, {})])
        return answers.pop(0) if len(answers) > 1 else answers[0]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of components that all live at one address, where nobody listens yet."""
    nobody = "http://127.0.0.1:9"
    return Settings(var_dir=tmp_path / "var", airflow_url=nobody, serving_url=nobody, mlflow_tracking_uri=nobody)


@pytest.fixture
def served(settings: Settings) -> Iterator[Answers]:
    """Start the server; `served.settings` lead to it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            status, body = answers.next(self.command, self.path, json.loads(self.rfile.read(length) or b"null"))
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        addresses = {"airflow_url": url, "serving_url": url, "mlflow_tracking_uri": url}
        answers = Answers(settings.model_copy(update=addresses))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield answers
        server.shutdown()
