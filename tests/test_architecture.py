"""The import rules of the house: who may know whom."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

KIT = Path(__file__).resolve().parents[1]
PACKAGE = KIT / "src" / "llavakit"
SHARED_MAY_IMPORT = {"pydantic", "yaml", "filelock"}


def imports(path: Path) -> Iterator[str]:
    """Full names of everything a module imports, wherever the import stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the room"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_violations(files: list[Path], forbidden: tuple[str, ...]) -> list[str]:
    return [
        f"{path.name} imports {name}"
        for path in files
        for name in imports(path)
        if name.startswith(tuple(f"llavakit.{room}" for room in forbidden))
    ]


def modules(room: str) -> list[Path]:
    found = sorted((PACKAGE / room).rglob("*.py"))
    assert found, f"no module in {room}"
    return found


def test_steps_know_neither_engines_nor_host() -> None:
    assert room_violations(modules("steps"), ("engines", "host")) == []


def test_engines_know_neither_steps_nor_host_nor_llava() -> None:
    files = modules("engines")
    assert room_violations(files, ("steps", "host", "recipe", "record")) == []
    named = [path.name for path in files if re.search(r"(?i)\bllava\b", path.read_text())]
    assert named == ["base.py"], "engines have never heard of LLaVA (base.py says so)"


def test_host_runs_no_step_itself() -> None:
    assert room_violations(modules("host"), ("steps",)) == []


def test_shared_modules_import_only_what_both_sides_have() -> None:
    shared = sorted(PACKAGE.glob("*.py"))
    assert len(shared) > 5
    assert room_violations(shared, ("steps", "host", "engines")) == []
    foreign = {name.partition(".")[0] for path in shared for name in imports(path)}
    allowed = SHARED_MAY_IMPORT | set(sys.stdlib_module_names) | {"llavakit"}
    assert foreign - allowed == set()


def test_shared_packages_are_direct_lines_of_the_environment() -> None:
    lines = (KIT / "docker" / "requirements.in").read_text().lower()
    for package in ("pydantic", "pyyaml", "filelock"):
        assert any(line.startswith(package) for line in lines.splitlines()), package


def test_the_package_itself_imports_nothing() -> None:
    assert list(imports(PACKAGE / "__init__.py")) == []


def test_the_face_is_thin() -> None:
    lines = (KIT / "tasks.py").read_text().splitlines()
    assert len(lines) <= 210
    top = [node for node in ast.parse("\n".join(lines)).body if isinstance(node, ast.ImportFrom)]
    thin = ["functools", "llavakit.host.face", "llavakit.host.options"]
    assert [node.module for node in top] == thin, "heavier imports belong inside `call`"
    for name in ("face.py", "options.py"):
        inside = imports(PACKAGE / "host" / name)
        assert not any(module.startswith("llavakit") for module in inside)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.name)
def test_a_file_is_one_room(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= 400, "likely two rooms in one"
