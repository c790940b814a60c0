from __future__ import annotations

import os
import subprocess
import sys

from demo.memory import stack_memory_mb

HOLD = "import sys; data = b'x' * (80 << 20); print('ready', flush=True); sys.stdin.read()"


def test_memory_of_a_process_of_the_stack_is_counted_and_of_another_is_not() -> None:
    environment = os.environ | {"RECLOOP_VAR_DIR": "this-stack"}
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        difference = stack_memory_mb("this-stack") - stack_memory_mb("another-stack")
        process.communicate()
    assert 80 <= difference < 160
