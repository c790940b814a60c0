"""The launcher becomes the component."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from stack.supervision import LAUNCHER


def test_launcher_becomes_the_component_with_its_environment(tmp_path: Path) -> None:
    code = "import os; print(os.getpid(), os.environ['ONE'], os.environ['TWO'])"
    known = {"x": {"argv": [sys.executable, "-c", code], "environment": {"ONE": 'a "quoted" %s'}}}
    file = tmp_path / "components.json"
    file.write_text(json.dumps(known))
    with subprocess.Popen(
        [sys.executable, LAUNCHER, file, "x"], stdout=subprocess.PIPE, text=True, env=os.environ | {"TWO": "2"}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read() == f'{process.pid} a "quoted" %s 2\n'
