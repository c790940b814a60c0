"""The documents are complete: settings, decisions, README commands, links."""

from __future__ import annotations

import ast
import re
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from recloop.settings import PROJECT_DIR, Settings
from tests.policy.sources import SOURCES

MARKDOWN = sorted([*PROJECT_DIR.glob("*.md"), *PROJECT_DIR.glob("docs/**/*.md")])
README = PROJECT_DIR / "README.md"
GLOSSARY = PROJECT_DIR / "docs" / "glossary.md"
MAKE_TARGET = re.compile(r"\bmake ([a-z][a-z-]*)")
MODULE = re.compile(r"python -m ([a-z_]+(?:\.[a-z_]+)+|[a-z]+)\b")


def make_targets() -> set[str]:
    text = (PROJECT_DIR / "Makefile").read_text()
    return set(re.findall(r"^([a-z][a-z-]*):", text, flags=re.MULTILINE))


def commands_in(path: Path, pattern: re.Pattern[str]) -> set[str]:
    """Return what a document tells its reader to run: in indented or fenced blocks and in backticks."""
    return set(pattern.findall("\n".join(re.findall(r"^ {4}.*$|`[^`]+`", path.read_text(), flags=re.MULTILINE))))


def test_every_setting_is_in_its_page() -> None:
    page = (PROJECT_DIR / "docs" / "settings.md").read_text()
    missing = [
        name for name, field in Settings.model_fields.items()
        if f"`RECLOOP_{name.upper()}` | {field.description}" not in page
    ]  # fmt: skip
    assert Settings.model_fields
    assert missing == []


def test_every_decision_is_listed() -> None:
    pages = [page.name for page in (PROJECT_DIR / "docs" / "adr").glob("0*.md")]
    listed = (PROJECT_DIR / "docs" / "adr" / "README.md").read_text()
    assert pages
    assert [page for page in pages if f"({page})" not in listed] == []


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: str(path.relative_to(PROJECT_DIR)))
def test_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []


def defined_names() -> dict[str, set[str]]:
    """Return what each module and class of the project defines, by its bare name; all of them under ""."""
    names: dict[str, set[str]] = defaultdict(set)
    for path in SOURCES:
        module = path.parent.name if path.stem == "__init__" else path.stem
        names[""].add(module)
        tree = ast.parse(path.read_text())
        owners = [(module, tree), *((node.name, node) for node in ast.walk(tree) if isinstance(node, ast.ClassDef))]
        for owner, node in owners:
            for each in node.body:
                targets = each.targets if isinstance(each, ast.Assign) else [getattr(each, "target", None)]
                found = {target.id for target in targets if isinstance(target, ast.Name)}
                found |= {each.name} if isinstance(each, ast.ClassDef | ast.FunctionDef) else set()
                names[owner] |= found
                names[""] |= found
    return names


def test_names_of_the_glossary_are_in_the_code() -> None:
    rows = [line.split("|") for line in GLOSSARY.read_text().splitlines() if line.count("|") == 5]
    quoted = [name for row in rows for name in re.findall(r"`([^`]+)`", row[3])]
    assert len(quoted) > 40
    known = defined_names()
    missing = [
        name for name in quoted
        if not ((PROJECT_DIR / name).exists() if "/" in name
                else name.rpartition(".")[2] in known[name.rpartition(".")[0]])
    ]  # fmt: skip
    assert missing == []


def test_readme_names_the_two_commands() -> None:
    assert {"demo", "test"} <= commands_in(README, MAKE_TARGET)


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: str(path.relative_to(PROJECT_DIR)))
def test_make_targets_named_in_documents_exist(path: Path) -> None:
    assert commands_in(path, MAKE_TARGET) - make_targets() == set()


def test_make_alone_prints_every_target_with_its_purpose() -> None:
    shown = subprocess.run(["make", "-s"], cwd=PROJECT_DIR, capture_output=True, text=True, check=True).stdout
    undocumented = [target for target in make_targets() if not re.search(rf"\b{target}\b +\S", shown)]
    assert undocumented == []


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: str(path.relative_to(PROJECT_DIR)))
def test_modules_named_in_documents_answer_help(path: Path) -> None:
    for module in sorted(commands_in(path, MODULE)):
        folder = "serving" if module.startswith("serving") else "streaming" if "streaming" in module else "core"
        interpreter = PROJECT_DIR / ".venv" / folder / "bin" / "python"
        answer = subprocess.run(
            [interpreter, "-m", module, "--help"], cwd=PROJECT_DIR, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, f"{module}: {answer.stderr[-300:]}"
        assert "usage" in answer.stdout
