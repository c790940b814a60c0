"""Which Java is taken, and the launcher and trust store of the one out of a wheel."""

from __future__ import annotations

import os
import ssl
import subprocess
from pathlib import Path

import pytest

from stack.java import LAUNCHER, find_machine_java, java_major, parse_major, trust_store
from stack.places import JAVA_HOME


def fake_java(home: Path, version: str) -> Path:
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    program.chmod(0o755)
    return home


@pytest.mark.parametrize(
    ("text", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "21" 2023-09-19', 21),
        ('java version "1.8.0_401"', 8),
        ("command not found", None),
    ],
)
def test_major_version_is_read(text: str, major: int | None) -> None:
    assert parse_major(text) == major


def test_java_home_comes_before_path_and_unsupported_ones_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path, home = fake_java(tmp_path / "path", "17.0.1"), fake_java(tmp_path / "home", "21.0.1")
    monkeypatch.setenv("PATH", str(on_path / "bin") + os.pathsep + os.environ["PATH"])
    monkeypatch.setenv("JAVA_HOME", str(home))
    assert find_machine_java() == home
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path / "new", "25.0.1")))
    assert find_machine_java() == on_path
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    assert find_machine_java() == on_path


def test_launcher_drops_the_module_the_wheel_lacks_and_keeps_every_other_argument(tmp_path: Path) -> None:
    launcher, real = tmp_path / "java", tmp_path / "java.wheel"
    launcher.write_text(LAUNCHER)
    real.write_text('#!/bin/sh\nfor a do printf "[%s]" "$a"; done\n')
    for program in (launcher, real):
        program.chmod(0o755)
    arguments = ["-Xmx1g", "--add-modules=jdk.incubator.vector", "-Dname=two words", "", "Main"]
    done = subprocess.run([launcher, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout == "[-Xmx1g][-Dname=two words][][Main]"


def test_java_reads_the_trust_store(tmp_path: Path) -> None:
    certificates = ssl.create_default_context().get_ca_certs(binary_form=True)[:3]
    assert len(certificates) == 3
    store = tmp_path / "cacerts"
    store.write_bytes(trust_store(certificates))
    keytool = JAVA_HOME / "bin" / "keytool"
    listed = subprocess.run(
        [keytool, "-list", "-keystore", store, "-storepass", "changeit", "-J-Duser.language=en"],
        capture_output=True,
        text=True,
        check=True,
    )
    # keytool checks the store's digest before it lists.
    assert "contains 3 entries" in listed.stdout


def test_set_up_left_a_supported_java() -> None:
    assert java_major(JAVA_HOME) in (17, 21)
