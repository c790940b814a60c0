"""Fetch the jars that ivy.xml names into `var/jars/{spark,kafka,flink}`. Standard library only.

Ivy comes inside pyspark, checks each file against the repository's checksum and keeps its own cache below `var/`.
Sessions name these files (`recloop.lake.spark_conf`): `spark.jars.packages` would resolve anew at every start.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from recloop.errors import MachineError
from stack.environments import site_packages
from stack.places import INSTALLED_DIR, JARS_DIR, JAVA_HOME, digest, is_done, mark_done

IVY_FILE = Path(__file__).with_name("ivy.xml")
CONFIGURATIONS = ("spark", "kafka", "flink")


def install_jars() -> None:
    """Fetch what is missing; the folder appears whole or not at all."""
    wanted = digest([IVY_FILE])
    stamp = JARS_DIR / "done"
    if is_done(stamp, wanted) and all(jars(name) for name in CONFIGURATIONS):
        return
    print("Fetching the jars of Kafka, Spark and Flink (110 MB) into var/jars.", flush=True)
    aside = JARS_DIR.with_name("jars.new")
    shutil.rmtree(aside, ignore_errors=True)
    log = INSTALLED_DIR / "log" / "ivy.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as out:
        code = subprocess.run(_ivy(aside), stdout=out, stderr=subprocess.STDOUT, check=False).returncode
    if code != 0:
        shutil.rmtree(aside, ignore_errors=True)
        raise MachineError(f"the jars cannot be fetched:\n{_reason(log)}\n{_ADVICE} All of it: {log}")
    mark_done(aside / "done", wanted)
    shutil.rmtree(JARS_DIR, ignore_errors=True)
    os.replace(aside, JARS_DIR)


def jars(configuration: str) -> list[Path]:
    """Return the jars of one configuration, sorted by name."""
    return sorted((JARS_DIR / configuration).glob("*.jar"))


_ADVICE = "Check that this machine reaches Maven Central, then call `make setup` again."


def _ivy(target: Path) -> list[str]:
    (ivy,) = (site_packages("core") / "pyspark" / "jars").glob("ivy-*.jar")
    pattern = f"{target}/[conf]/[artifact]-[revision].[ext]"
    resolve = ["-ivy", str(IVY_FILE), "-cache", str(INSTALLED_DIR / "ivy"), "-confs", *CONFIGURATIONS]
    return [
        str(JAVA_HOME / "bin" / "java"),
        "-jar",
        str(ivy),
        *resolve,
        "-types",
        "jar",
        "bundle",
        "-retrieve",
        pattern,
    ]


def _reason(log: Path) -> str:
    """Return the few lines of Ivy's report that say what went wrong."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    telling = [line for line in lines if "not found" in line or "Exception" in line or "FAILED" in line]
    return "\n".join((telling or lines)[:5])
