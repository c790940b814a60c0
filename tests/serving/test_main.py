"""The serving process as users start it, with the real servers around it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from recloop.bundles import BundleFile
from recloop.clock import format_time
from recloop.commands import module, release_model
from recloop.events import Action
from recloop.settings import PROJECT_DIR, Environment, Port, Settings
from tests.serving.bundles import flip_bit
from tests.serving.conftest import TOKEN
from tests.serving.online_rows import open_store, write_daily, write_recent
from tests.serving.registered import Registered
from tests.serving.servers import PASSWORD, PATIENCE_SECONDS, OwnRedis, own_redis, wait_until
from tests.serving.topic import read_topic


def environment(settings: Settings) -> dict[str, str]:
    return os.environ | {
        "RECLOOP_VAR_DIR": str(settings.var_dir),
        "RECLOOP_PORTS_FROM": str(settings.ports_from),
        "RECLOOP_REDIS_ADDRESS": settings.redis_address,
        "RECLOOP_REDIS_PASSWORD": settings.redis_password.get_secret_value(),
        "RECLOOP_SERVING_TOKEN": TOKEN,
        "RECLOOP_MODEL_NAME": settings.model_name,
        "RECLOOP_EXPLORATION_RATE": "0",
        "RECLOOP_RELEASE_POLL_SECONDS": "0.2",
        "RECLOOP_REQUEST_DEADLINE_MS": "2000",
    }


class Serving:
    """A serving process and a client of it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.start()

    def start(self) -> None:
        self._log = (self.settings.var_dir / "serving-process.log").open("ab")
        self.process = subprocess.Popen(
            module(Environment.SERVING, "serving.main"), cwd=PROJECT_DIR, env=environment(self.settings),
            stdout=self._log, stderr=self._log,
        )  # fmt: skip
        self.client = httpx.Client(base_url=self.settings.serving, timeout=30)
        wait_until(self.is_live)

    def is_live(self) -> bool:
        assert self.process.poll() is None, "it ended: see serving-process.log"
        try:
            return self.client.get("/health/live").is_success
        except httpx.TransportError:
            return False

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE_SECONDS)
        self.client.close()
        self._log.close()
        return code

    def release(self) -> dict[str, Any]:
        return dict(self.client.get("/v1/release").json())

    def slate(self, user_id: str, **options: Any) -> dict[str, Any]:
        answer = self.client.post("/v1/recommendations", json={"user_id": user_id, **options})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def reaches(self, version: str) -> float:
        return wait_until(lambda: self.release()["version"] == version)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRedis]:
    with own_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def settings(mlflow_stack: Settings, feast_stack: Settings, redis: OwnRedis) -> Settings:
    return mlflow_stack.model_copy(
        update={"model_name": "served", "redis_address": redis.address, "redis_password": SecretStr(PASSWORD)}
    )


@pytest.fixture(scope="module")
def registered(settings: Settings) -> Registered:
    return Registered(settings)


@pytest.fixture(scope="module")
def versions(registered: Registered, sealed_bundles: tuple[Path, Path]) -> list[str]:
    versions = [registered.add(bundle) for bundle in sealed_bundles]
    registered.promote(versions[0])
    return versions


@pytest.fixture(scope="module")
def serving(settings: Settings, versions: list[str]) -> Iterator[Serving]:
    serving = Serving(settings)
    serving.reaches(versions[0])
    wait_until(lambda: "redis" not in serving.slate("nobody")["degraded"])
    yield serving
    assert serving.stop() == 0, "SIGTERM ends it cleanly"


@pytest.mark.stack
def test_events_answered_202_are_in_kafka_as_they_came(serving: Serving) -> None:
    event = {
        "event_id": f"posted-{time.time_ns()}", "event_time": format_time(datetime.now(UTC)), "action": "save",
        "user_id": "poster", "item_id": "i1", "colour": "blue",
    }  # fmt: skip
    answer = serving.client.post("/v1/events", json=[event, event | {"event_id": event["event_id"] + "-2"}])
    assert (answer.status_code, answer.json()) == (202, {"accepted": 2})
    found = [json.loads(record.value) for record in read_topic(serving.settings) if record.key == b"poster"]
    assert event in found
    assert len(found) == 2


@pytest.mark.stack
def test_an_interaction_in_the_online_store_changes_the_slate(serving: Serving) -> None:
    store, now = open_store(serving.settings), datetime.now(UTC)
    write_daily(store, "viewer", now, seen=["i30"])
    slates = []
    for recent in (["i1", "i2"], ["i1", "i2", "i31"]):
        write_recent(store, "viewer", recent, now)
        slates.append(serving.slate("viewer", seed=1))
    before, after = slates
    assert (before["served_by"], before["degraded"]) == ("model", [])
    assert (before["n_recent"], after["n_recent"]) == (2, 3)
    assert before["as_of"] is not None
    assert [item["item_id"] for item in before["items"]] != [item["item_id"] for item in after["items"]]
    shown = {item["item_id"] for item in after["items"]}
    assert not shown & {"i1", "i2", "i30", "i31"}, "what was seen is not shown"
    scores = [item["score"] for item in after["items"]]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.stack
def test_every_impression_of_a_slate_is_logged(serving: Serving) -> None:
    slate = serving.slate("watcher", k=4, surface="home", device="phone")
    key = slate["slate_id"]

    def logged() -> list[dict[str, Any]]:
        events = (json.loads(record.value) for record in read_topic(serving.settings) if record.key == b"watcher")
        return sorted((event for event in events if event["slate_id"] == key), key=lambda event: event["position"])

    wait_until(lambda: len(logged()) == 4)
    assert [
        (event["action"], event["item_id"], event["model_version"], event["surface"], event["device"])
        for event in logged()
    ] == [(Action.IMPRESSION, item["item_id"], slate["model_version"], "home", "phone") for item in slate["items"]]
    assert [event["propensity"] for event in logged()] == [item["propensity"] for item in slate["items"]]
    metrics = serving.client.get("/metrics").text
    assert 'recloop_impressions_total{outcome="delivered"}' in metrics
    assert 'outcome="failed"' not in metrics


@pytest.mark.stack
def test_user_without_a_sequence_gets_static_features(serving: Serving) -> None:
    slate = serving.slate("stranger")
    assert (slate["served_by"], slate["n_recent"], slate["as_of"]) == ("static_features", 0, None)
    assert slate["degraded"] == ["user_recent_missing", "user_daily_missing"]
    assert len(slate["items"]) == 10


@pytest.mark.stack
def test_redis_that_stops_means_popular_items_until_it_is_back(serving: Serving, redis: OwnRedis) -> None:
    write_recent(open_store(serving.settings), "loyal", ["i1"], datetime.now(UTC))
    assert serving.slate("loyal")["served_by"] == "model"
    redis.stop()
    slate = serving.slate("loyal")
    assert (slate["served_by"], slate["degraded"]) == ("popularity", ["redis"])
    assert len(slate["items"]) == 10
    redis.start()
    assert wait_until(lambda: serving.slate("loyal")["served_by"] == "model") < 5


@pytest.mark.stack
def test_alias_is_followed_forward_and_back_without_a_failed_request(
    serving: Serving, registered: Registered, versions: list[str]
) -> None:
    registered.promote(versions[0])
    serving.reaches(versions[0])
    failures: list[str] = []
    seen: set[str] = set()
    stopped = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=serving.settings.serving, timeout=10) as client:
            while not stopped.is_set():
                answer = client.post("/v1/recommendations", json={"user_id": "steady"})
                if answer.status_code == 200:
                    seen.add(answer.json()["model_version"])
                else:
                    failures.append(answer.text)

    asker = threading.Thread(target=ask)
    asker.start()
    seconds = []
    for version in (versions[1], versions[0], versions[1]):
        registered.promote(version)
        seconds.append(serving.reaches(version))
        time.sleep(0.3)
    stopped.set()
    asker.join()
    assert failures == []
    assert seen == set(versions)
    assert max(seconds) < 10, seconds


@pytest.mark.stack
def test_release_client_waits_for_the_version_and_names_what_is_wrong(
    serving: Serving, registered: Registered, versions: list[str], bundle: Path
) -> None:
    def release(version: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            release_model(version=version), cwd=PROJECT_DIR, env=environment(serving.settings), capture_output=True,
            text=True, check=False,
        )  # fmt: skip

    registered.promote(versions[0])
    done = release(versions[0])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["version"] == versions[0]
    overtaken = release(versions[1])
    assert overtaken.returncode == 0
    assert "names version" in overtaken.stderr
    last = json.loads(overtaken.stdout.splitlines()[-1])
    assert (last["version"], last["instead_of"]) == (versions[0], versions[1])
    flip_bit(bundle / BundleFile.ITEM_VECTORS)
    tampered = registered.add(bundle)
    registered.promote(tampered)
    refused = release(tampered)
    assert refused.returncode == 1
    assert BundleFile.ITEM_VECTORS in refused.stderr
    assert serving.release()["version"] == versions[0], "the old model stays"
    assert serving.release()["refused"][-1]["version"] == tampered
    assert serving.slate("anyone")["model_version"] == versions[0]
    registered.promote(versions[0])


@pytest.mark.stack
def test_restart_without_mlflow_serves_the_last_good_bundle(
    settings: Settings, versions: list[str], serving: Serving, tmp_path: Path
) -> None:
    serving.reaches(versions[0])
    alone = settings.model_copy(update={"var_dir": tmp_path, "mlflow_tracking_uri": "http://127.0.0.1:9"})
    shutil.copytree(settings.var_dir / "serving", tmp_path / "serving")
    serving.stop()
    os.environ["RECLOOP_MLFLOW_TRACKING_URI"] = alone.mlflow_tracking_uri
    try:
        restarted = Serving(alone)
        restarted.reaches(versions[0])
        wait_until(lambda: "MLflow" in restarted.release()["polling"])
        assert restarted.client.get("/health/ready").status_code == 200
        assert restarted.slate("anyone")["model_version"] == versions[0]
        assert restarted.stop() == 0
    finally:
        del os.environ["RECLOOP_MLFLOW_TRACKING_URI"]
        serving.start()


def test_busy_port_is_one_clear_message(lonely_settings: Settings) -> None:
    with socket.socket() as listener:
        listener.bind((lonely_settings.host, lonely_settings.port(Port.SERVING)))
        listener.listen()
        done = subprocess.run(
            module(Environment.SERVING, "serving.main"), cwd=PROJECT_DIR, env=environment(lonely_settings),
            capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
    assert done.returncode == 1
    assert f"{lonely_settings.port(Port.SERVING)} cannot be listened on" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["serving.main", "serving.release_client"])
def test_help_answers(name: str) -> None:
    done = subprocess.run(
        module(Environment.SERVING, name, ["--help"]), cwd=PROJECT_DIR, capture_output=True, text=True, check=True
    )
    assert f"python -m {name}" in done.stdout
