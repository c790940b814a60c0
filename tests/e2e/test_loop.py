"""The whole loop with every real component, on a slice of real data: the demo in small, then what should not work.

One stack for the module, on free ports, in a folder of its own. `python -m demo --quick` starts it and goes round the
loop; the tests look at its report and then at the stack it leaves running.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest

from recloop.commands import module
from recloop.settings import PROJECT_DIR, Environment, Settings, load_settings
from recloop.tables import Topic
from tests.conftest import free_ports, run_module

pytestmark = [pytest.mark.stack, pytest.mark.spark, pytest.mark.slow]

DEMO_SECONDS = 3_000
"""It took 1,185 s within all tests on two busy cores: that the loop is fast is the benchmark's to say, not a test's."""


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a stack that no other test has written to; stopped at the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECLOOP_VAR_DIR", str(tmp_path_factory.mktemp("loop")))
        patch.setenv("RECLOOP_PORTS_FROM", str(free_ports()))
        yield load_settings()
        run_module("stack.down")


@pytest.fixture(scope="module")
def loop(own_stack: Settings) -> Settings:
    """Go round the loop once; leaves the stack running."""
    shared = PROJECT_DIR / "var" / "data" / "ml-100k"
    if shared.is_dir():  # fetched by another test already
        shutil.copytree(shared, own_stack.var_dir / "data" / "ml-100k")
    argv = module(Environment.CORE, "demo", ["--data", "movielens", "--quick"])
    log = own_stack.var_dir / "demo.out"
    with log.open("w") as out:
        done = subprocess.run(
            argv, cwd=PROJECT_DIR, stdout=out, stderr=subprocess.STDOUT, timeout=DEMO_SECONDS, check=False
        )
    assert done.returncode == 0, log.read_text()[-4_000:]
    return own_stack


@pytest.fixture(scope="module")
def report(loop: Settings) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((loop.var_dir / "demo" / "report.json").read_text())
    return content


@pytest.fixture(scope="module")
def api(loop: Settings) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=loop.serving, timeout=10) as client:
        yield client


def eventually(look: Callable[[], Any], seconds: float = 120) -> Any:
    """Return what `look` finds, asking until it is true."""
    until = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.1)
    return found


def test_every_stage_moved_rows(report: dict[str, Any]) -> None:
    stages = {stage["name"]: stage for stage in report["stages"]}
    expected = {
        "ingest_hourly.land_events",
        "ingest_hourly.clean_events",
        "ingest_hourly.attribute_labels",
        "features_daily.compute_features",
        "features_daily.materialize_features",
        "train_model.build_training_set",
        "train_model.train",
        "live replay",
    }
    assert expected <= set(stages)
    assert all(stages[name]["rows_in"] > 0 and stages[name]["rows_out"] > 0 for name in expected)


def test_an_event_changed_each_probed_slate(report: dict[str, Any]) -> None:
    assert report["event_to_slate_ms"]["n"] == 20
    assert 0 < report["event_to_slate_ms"]["p50"] <= report["event_to_slate_ms"]["p95"]


def test_swaps_failed_no_request(report: dict[str, Any]) -> None:
    assert report["requests"] > 0
    assert report["failed_requests"] == 0
    assert min(report["swap_seconds"], report["rollback_seconds"], report["forward_seconds"]) > 0


def test_offline_metrics_are_of_both(report: dict[str, Any]) -> None:
    for name in ("champion", "popularity"):
        assert set(report["offline"][name]) >= {"ndcg_at_10", "map_at_10", "precision_at_10"}
    low, high = report["offline"]["ndcg_difference_interval"]
    assert low <= high


def test_saved_item_leaves_the_slate_of_a_new_user(api: httpx.Client) -> None:
    user = f"new-{uuid4()}"
    first = api.post("/v1/recommendations", json={"user_id": user, "seed": 1}).json()
    top = first["items"][0]["item_id"]
    event = {"event_id": str(uuid4()), "event_time": now(), "action": "save", "user_id": user, "item_id": top}
    assert api.post("/v1/events", json=event).status_code == 202

    def slate() -> list[str]:
        answer = api.post("/v1/recommendations", json={"user_id": user, "seed": 1}).json()
        return [item["item_id"] for item in answer["items"]] if answer["n_recent"] else []

    assert top not in eventually(slate)


def test_malformed_bytes_in_the_topic_become_a_reject_with_the_original(loop: Settings) -> None:
    from confluent_kafka import Consumer, Producer

    payload = b'{"event_id": "torn \xff' + uuid4().hex.encode()
    consumer = Consumer({"bootstrap.servers": loop.kafka, "group.id": str(uuid4()), "auto.offset.reset": "earliest"})
    consumer.subscribe([Topic.REJECTS])
    producer = Producer({"bootstrap.servers": loop.kafka})
    producer.produce(Topic.EVENTS, payload)
    producer.flush(10)

    def rejected() -> bool:
        message = consumer.poll(1.0)
        if message is None or message.error():
            return False
        return bool(base64.b64decode(json.loads(message.value())["payload_base64"]) == payload)

    try:
        eventually(rejected)
    finally:
        consumer.close()


def test_malformed_event_is_answered_with_field_and_reason(api: httpx.Client) -> None:
    answer = api.post("/v1/events", json={"event_id": "e", "action": "explode"})
    assert answer.status_code == 422
    assert {"field", "reason"} <= set(answer.json()["detail"][0])


def test_tampered_bundle_is_refused_by_the_files_name_and_the_old_model_stays(
    loop: Settings, api: httpx.Client, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=loop.mlflow, registry_uri=loop.mlflow)
    champion = client.get_model_version_by_alias(loop.model_name, "champion")
    folder = Path(client.download_artifacts(champion.run_id, "bundle", str(tmp_path)))
    victim = folder / "popularity.json"
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    run = client.create_run("0").info.run_id
    client.log_artifacts(run, str(folder), "bundle")
    bad = client.create_model_version(loop.model_name, source=f"runs:/{run}/bundle", run_id=run)
    client.set_registered_model_alias(loop.model_name, "champion", bad.version)

    def refused() -> list[Any]:
        return [one for one in api.get("/v1/release").json()["refused"] if one["version"] == str(bad.version)]

    try:
        assert "popularity.json" in eventually(refused)[0]["reason"]
        assert api.get("/v1/release").json()["version"] == str(champion.version)
        assert api.post("/v1/recommendations", json={"user_id": "1"}).json()["model_version"] == str(champion.version)
    finally:
        client.set_registered_model_alias(loop.model_name, "champion", champion.version)


def test_alias_move_sets_off_the_promotion_dag(loop: Settings) -> None:
    from demo.clients import Airflow

    runs = Airflow(loop)._get("/dags/promote_model/dagRuns?limit=50")["dag_runs"]
    assert [run for run in runs if run["state"] == "success"]


def test_down_leaves_no_process_and_no_port(loop: Settings) -> None:
    from recloop.settings import Port

    subprocess.run(module(Environment.CORE, "stack.down"), cwd=PROJECT_DIR, check=True)
    ports = {loop.port(port) for port in Port}
    assert not [c for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.laddr.port in ports]
    assert [p for p in psutil.process_iter() if environment_of(p).get("RECLOOP_STACK") == str(loop.var_dir)] == []


def environment_of(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def now() -> str:
    from recloop.clock import SystemClock, format_time

    return format_time(SystemClock().now())
