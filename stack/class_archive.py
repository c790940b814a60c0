"""Write Spark's class archive, with which every batch job starts seconds sooner. Standard library only.

A session that uses what the jobs use runs once (`stack.rehearsal`); at its exit the JVM writes the classes it loaded
(JEP 350, dynamic archives of class data). Done again when Java, pyspark or a jar changes.
"""

from __future__ import annotations

import subprocess

from stack.jars import IVY_FILE
from stack.places import (
    CLASS_ARCHIVE,
    INSTALLED_DIR,
    JAVA_HOME,
    PROJECT_DIR,
    REQUIREMENTS_DIR,
    digest,
    is_done,
    mark_done,
    python,
)

REHEARSAL = PROJECT_DIR / "stack" / "rehearsal.py"


def make_class_archive() -> None:
    """Write the archive if it is missing or of other classes; without it Spark works too, so no failure stops setup."""
    stamp = CLASS_ARCHIVE.with_suffix(".done")
    release = JAVA_HOME / "release"
    wanted = digest([REQUIREMENTS_DIR / "core.txt", IVY_FILE, REHEARSAL, str(python("core")), release])
    if is_done(stamp, wanted):
        return
    print("Running Spark once, so that from now on it starts faster.", flush=True)
    CLASS_ARCHIVE.unlink(missing_ok=True)
    log = INSTALLED_DIR / "log" / "rehearsal.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as out:
        for argv in (*_base_archive(), [str(python("core")), "-m", "stack.rehearsal", str(CLASS_ARCHIVE)]):
            code = subprocess.run(argv, cwd=PROJECT_DIR, stdout=out, stderr=subprocess.STDOUT, check=False).returncode
    if code != 0 or not CLASS_ARCHIVE.exists():
        CLASS_ARCHIVE.unlink(missing_ok=True)
        print(f"It starts as slowly as before: no archive was written. Why: {log}", flush=True)
    mark_done(stamp, wanted)


def _base_archive() -> list[list[str]]:
    """Return the command that makes the JVM's own archive, where it came without one: the other is laid on top."""
    has_one = any((JAVA_HOME / "lib").glob("*/classes.jsa"))
    return [] if has_one else [[str(JAVA_HOME / "bin" / "java"), "-Xshare:dump"]]
