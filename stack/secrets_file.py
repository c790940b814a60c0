"""Write `var/recloop.env`, once: this folder's secrets, under the names of recloop.settings. Standard library only.

Any other setting, a port say, may be added to it for good: every command reads it, the environment wins over it.
"""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path

from stack.places import INSTALLED_DIR

SECRETS_FILE = INSTALLED_DIR / "recloop.env"
TOKENS = (
    "RECLOOP_REDIS_PASSWORD",
    "RECLOOP_POSTGRES_PASSWORD",
    "RECLOOP_AIRFLOW_PASSWORD",
    "RECLOOP_AIRFLOW_SECRET",
    "RECLOOP_SERVING_TOKEN",
)
FERNET_KEY = "RECLOOP_AIRFLOW_FERNET_KEY"


def write_secrets(path: Path = SECRETS_FILE) -> None:
    """Add each secret the file lacks; never change one that is there."""
    present = path.read_text() if path.is_file() else ""
    names = {line.partition("=")[0].strip() for line in present.splitlines()}
    # Hexadecimal: safe in a URL, in a shell and in an INI file.
    made = {name: secrets.token_hex(32) for name in TOKENS}
    made[FERNET_KEY] = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    missing = [f"{name}={value}\n" for name, value in made.items() if name not in names]
    if not missing:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".new")
    aside.touch(mode=0o600)
    aside.write_text(present + ("" if not present or present.endswith("\n") else "\n") + "".join(missing))
    os.replace(aside, path)
