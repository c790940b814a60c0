"""The command: help without Flink; and the running job on real servers under bad input, outages and kills.

The tests on the running job stand in an order: the last ones stop it.
"""

from __future__ import annotations

import base64
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recloop.clock import from_ms
from recloop.events import Action, Event
from recloop.features import USER_RECENT
from recloop.sequences import Entry
from recloop.settings import PROJECT_DIR, Port, Settings
from tests.streaming.flink_job import FlinkJob, wait_until

REAL = [pytest.mark.stack, pytest.mark.slow]
NOW = datetime.now(UTC)


def event(user_id: str, number: int, *, action: Action = Action.CLICK, item_id: str = "") -> Event:
    return Event(
        event_id=f"{user_id}-{number}",
        event_time=NOW - timedelta(hours=1) + timedelta(milliseconds=number),
        action=action,
        user_id=user_id,
        item_id=item_id or f"item-{number}",
    )


def test_help_answers_without_flink() -> None:
    script = (
        "import sys; sys.modules['pyflink'] = sys.modules['feast'] = None\n"
        "from jobs.streaming.update_features import main; main(['--help'])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "python -m jobs.streaming.update_features" in done.stdout


class TestRunningJob:
    """Everything on one start of the job, but for the last tests, which start it anew."""

    pytestmark = REAL

    def test_effective_mode_is_thread(self, flink_job: FlinkJob) -> None:
        assert "effective execution mode: thread" in flink_job.text

    def test_rest_and_page_answer_on_loopback_only(self, flink_job: FlinkJob) -> None:
        assert [job["state"] for job in flink_job.rest("/jobs/overview")["jobs"]] == ["RUNNING"]
        with urllib.request.urlopen(flink_job.url("/"), timeout=10) as page:
            assert b"Apache Flink" in page.read()
        assert not listens_elsewhere(flink_job)

    def test_rejects_carry_the_original_bytes_and_good_events_go_on(self, flink_job: FlinkJob) -> None:
        bad = [None, b"", b"\xff\xfe", b"{}", b"[" * 5_000, os.urandom(1_000_000), b'{"event_id": 1}']
        good = [event("among-rejects", number) for number in range(5)]
        flink_job.produce([bad[0], good[0].to_json(), *bad[1:], *(each.to_json() for each in good[1:])])
        flink_job.wait_for_rows(good)
        wait_until(lambda: len(flink_job.rejects()) >= len(bad), 30, lambda: flink_job.text)
        rejects = flink_job.rejects()
        found = [base64.b64decode(reject["payload_base64"]) for reject in rejects]
        assert sorted(found) == sorted(payload or b"" for payload in bad)
        assert all(reject["field"] and reject["reason"] for reject in rejects)
        places = {(reject["kafka_partition"], reject["kafka_offset"]) for reject in rejects}
        assert len(places) == len(bad)

    def test_history_that_was_backfilled_is_kept(self, flink_job: FlinkJob) -> None:
        past = [Entry(1_000 + number, 2**61 + number, f"past-{number}", "like", 0) for number in range(3)]
        flink_job.rows.write({"backfilled": past})
        new = event("backfilled", 1)
        flink_job.produce([new.to_json()])
        expected = ("past-0", "past-1", "past-2", "item-1")
        wait_until(lambda: flink_job.rows.read("backfilled").item_ids == expected, 30, lambda: flink_job.text)

    def test_feast_reads_the_row_as_of_its_newest_interaction(self, flink_job: FlinkJob) -> None:
        from feast import FeatureStore

        from recloop.feast_env import FEATURE_REPO

        new = event("read-by-feast", 7, action=Action.SAVE)
        flink_job.produce([new.to_json()])
        flink_job.wait_for_rows([new])
        features = [f"{USER_RECENT.name}:{name}" for name in USER_RECENT.names]
        answer = FeatureStore(repo_path=str(FEATURE_REPO)).get_online_features(
            features, [{USER_RECENT.entity.value: "read-by-feast"}]
        )
        assert answer.to_dict()["recent_actions"] == [["save"]]
        newest_ms = int(new.event_time.timestamp() * 1_000)
        # Whole seconds and the nanoseconds after them; Feast keeps both.
        stamp = answer.proto.results[-1].event_timestamps[0]
        assert stamp.ToDatetime(UTC) == from_ms(newest_ms)

    def test_outage_of_the_online_store_loses_nothing(self, flink_job: FlinkJob) -> None:
        known = [event(f"outage-{number}", 0) for number in range(20)]
        flink_job.produce(each.to_json() for each in known)
        flink_job.wait_for_rows(known)
        during = [event(f"outage-{number}", 1) for number in range(40)]  # half of them were never seen before
        with frozen_redis(flink_job.settings):
            flink_job.produce(each.to_json() for each in during)
            time.sleep(6)
        shut_redis_down(flink_job.settings)  # its supervisor starts it again
        flink_job.wait_for_rows(known + during)
        assert flink_job.rest("/jobs/overview")["jobs"][0]["state"] == "RUNNING"
        assert "online store" in flink_job.text

    def test_kill_after_a_checkpoint_loses_nothing(self, flink_job: FlinkJob) -> None:
        before = [event(f"killed-{number}", 0) for number in range(50)]
        flink_job.produce(each.to_json() for each in before)
        flink_job.wait_for_rows(before)
        with frozen_redis(flink_job.settings):
            # Read, kept in state, their offsets committed, but not written: only the timers can bring them back.
            during = [event(f"killed-{number}", 1) for number in range(50)]
            flink_job.produce(each.to_json() for each in during)
            flink_job.wait_for_checkpoint()
            flink_job.kill()
        after = [event(f"killed-{number}", 2) for number in range(0, 50, 2)]
        flink_job.produce(each.to_json() for each in after)
        flink_job.start()
        assert "chk-" in flink_job.text.splitlines()[0]
        flink_job.wait_for_rows(before + during + after)

    def test_kill_before_a_checkpoint_counts_nothing_twice(self, flink_job: FlinkJob) -> None:
        flink_job.wait_for_checkpoint()
        rng = random.Random(6)
        # All within 5 ms: order is by hash alone, and a placeholder's place must be taken by its event.
        log = [event(f"twice-{number % 4}", rng.randrange(5)) for number in range(400)]
        log = [each.model_copy(update={"event_id": f"twice-{n}"}) for n, each in enumerate(log)]
        flink_job.produce(each.to_json() for each in log)
        flink_job.wait_for_rows(log)
        flink_job.kill()
        flink_job.start()
        more = [event("twice-0", 9)]
        flink_job.produce(each.to_json() for each in more)
        flink_job.wait_for_rows(log + more)

    def test_sigterm_stops_it_cleanly_and_leaves_nothing(self, flink_job: FlinkJob) -> None:
        group = group_of(flink_job)
        assert len(group) >= 2  # the command and its JVM
        assert flink_job.stop() == 0
        assert "Traceback" not in flink_job.text
        wait_until(lambda: not any(map(is_alive, group)), 10, lambda: f"of {group} some are alive")


@contextmanager
def frozen_redis(settings: Settings) -> Iterator[None]:
    """Hold Redis still: it takes connections and answers nobody."""
    pid = int(redis(settings).info("server")["process_id"])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def shut_redis_down(settings: Settings) -> None:
    """Stop Redis, so that connections are refused until it is started again."""
    redis(settings).shutdown()


def redis(settings: Settings):  # type: ignore[no-untyped-def]  # redis is imported late, its client is generic
    from redis import Redis

    return Redis(
        settings.host, settings.port(Port.REDIS), password=settings.redis_password.get_secret_value(), socket_timeout=30
    )


def listens_elsewhere(job: FlinkJob) -> list[str]:
    """Return the addresses, as the kernel writes them, on which the job's processes listen beside loopback."""
    own = {target for pid in group_of(job) for target in _open_files(pid)}
    loopback = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            listens = fields[3] == "0A" and f"socket:[{fields[9]}]" in own
            if listens and fields[1].split(":")[0] not in loopback:
                found.append(fields[1])
    assert own
    return found


def group_of(job: FlinkJob) -> list[int]:
    """Return the processes of the job's group."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in pids if _group(pid) == job.pid]


def is_alive(pid: int) -> bool:
    """Tell whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return -1


def _open_files(pid: int) -> Iterator[str]:
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            yield os.readlink(link)
