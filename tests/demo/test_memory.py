from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from demo.memory import MemoryWatch, stack_memory_mb

THIS, ANOTHER = Path("/a/stack"), Path("/another/stack")
HOLD = "import sys, time; data = b'x' * (80 << 20); print('ready', flush=True); time.sleep(60)"


def test_memory_of_a_process_of_the_stack_is_counted_and_of_another_is_not() -> None:
    environment = os.environ | {"RECLOOP_VAR_DIR": str(THIS)}
    # Started by a shell that ends: the process is no longer below this one.
    orphan = f"{shlex.quote(sys.executable)} -c {shlex.quote(HOLD)} & echo $!; cat > /dev/null; kill $!"
    with subprocess.Popen(
        ["setsid", "--fork", "sh", "-c", orphan], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert {process.stdout.readline()[-1:], process.stdout.readline()[-1:]} == {b"\n"}
        difference = stack_memory_mb(THIS) - stack_memory_mb(ANOTHER)
        process.communicate()
    assert 80 <= difference < 160


def test_memory_of_a_process_the_demo_started_is_counted() -> None:
    before = stack_memory_mb(ANOTHER)
    with subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        difference = stack_memory_mb(ANOTHER) - before
        process.kill()
    assert 80 <= difference < 160


def test_peak_is_the_highest_sample(tmp_path: Path) -> None:
    watch = MemoryWatch(tmp_path)
    assert watch.peak_mb == 0
    watch.samples_mb += [3, 9, 4]
    assert watch.peak_mb == 9
