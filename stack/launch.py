"""Become one component: read its argv and environment from the stack's private file and execute it.

Keeps passwords and quoting out of supervisor's configuration, whose values know no escape. Standard library only.
Run by supervisor: python stack/launch.py VAR_DIR/run/components.json NAME
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def main() -> None:
    """Replace this process, whose id and marker stay."""
    component = json.loads(Path(sys.argv[1]).read_text())[sys.argv[2]]
    os.execvpe(component["argv"][0], component["argv"], os.environ | component["environment"])


if __name__ == "__main__":
    main()
