"""`invoke verify --environment`: files against their RECORDs, packages against the lock."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest
from host.test_pipeline import DEFAULTS

from llavakit import installed
from llavakit.engines import venv
from llavakit.errors import RecordError
from llavakit.host import environment, packages, settings
from llavakit.host.console import Screen
from llavakit.locks import file_sha256

LOCK = "one-thing==1.0 \\\n    --hash=sha256:0\nother==2.0 ; python_version < '3.11' \\\n"


def install(site: Path, name: str, version: str, files: dict[str, bytes]) -> None:
    info = site / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = []
    for path, content in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_bytes(content)
        sha = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
        lines.append(f'"{path}",sha256={sha},{len(content)}')
    (info / "RECORD").write_text("\n".join([*lines, f"{info.name}/RECORD,,"]))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A local environment with two packages, made from a lock of two."""
    lock = tmp_path / "requirements.lock"
    lock.write_text(LOCK)
    monkeypatch.setattr(environment, "LOCK", lock)
    folder = tmp_path / "environments" / environment.lock_sha256()[:12]
    found = packages.site_packages(folder)
    one = {"one/__init__.py": b"1", "one/tests/a.py": b"2", "../../../bin/one": b"#!"}
    install(found, "One_Thing", "1.0", {**one, "shared/x.py": b"x"})
    install(found, "other", "2.0", {"other.py": b"3", "other/lib.so": b"4" * 100})
    (folder / "bin" / "python").touch()
    (folder / venv.STAMP).write_text(file_sha256(lock) + "\n")
    return found


def check(site: Path) -> packages.Judged:
    options = {"engine": "local", "workspace": "/nowhere"}
    places = {"environments": str(site.parents[3])}
    screen = Screen(json_output=True)
    merged = settings.resolve({**DEFAULTS, **places}, options)
    try:
        assert packages.verify(merged, screen) == 0
    except RecordError as error:
        assert error.exit_code == 1
        assert screen._document["environments"][0]["drifted"]
        assert all(name in error.why for name in screen._document["environments"][0]["drifted"])
    json.dumps(screen._document)
    return packages.judge("local", "x", installed.look(site), [], [], [])


def test_an_environment_as_it_was_installed_holds(site: Path) -> None:
    found = check(site)
    assert found.drifted == []
    assert (found.found.hashed, found.found.unhashed, found.found.bytes) == (6, 2, 106)


@pytest.mark.parametrize("name", ["one/__init__.py", "other/lib.so", "../../../bin/one"])
def test_one_changed_byte_is_named(site: Path, name: str) -> None:
    path = site / name
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    assert check(site).modified == [name]


def test_byte_code_of_a_wheel_may_be_written_anew(site: Path) -> None:
    install(site, "compiled", "1", {"compiled/__pycache__/x.cpython-310.pyc": b"old"})
    (site / "compiled" / "__pycache__" / "x.cpython-310.pyc").write_bytes(b"new")
    assert check(site).modified == []


def test_missing_files_and_files_of_nobody_are_named(site: Path) -> None:
    (site / "other.py").unlink()
    (site / "evil.pth").write_text("import os")
    (site / "one" / "__pycache__").mkdir()
    (site / "one" / "__pycache__" / "x.pyc").touch()
    found = check(site)
    assert (found.missing, found.found.strangers) == (["other.py"], ["evil.pth"])


def test_a_linked_package_is_of_nobody(site: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "__init__.py").touch()
    for name in ("evil", "one/evil", "__pycache__"):
        (site / name).symlink_to(tmp_path / "elsewhere")
    assert check(site).found.strangers == ["__pycache__", "evil", "one/evil"]


def test_packages_are_those_of_the_lock(site: Path) -> None:
    install(site, "extra", "1", {})
    (site / "other-2.0.dist-info").rename(site / "other-2.1.dist-info")
    assert check(site).versions == ["extra 1 (lock: -)", "other 2.1 (lock: 2.0)"]


def test_a_record_that_cannot_be_read_is_a_change(site: Path) -> None:
    (site / "other-2.0.dist-info" / "RECORD").unlink()
    found = check(site)
    assert found.missing == ["other-2.0.dist-info/RECORD"]
    assert found.found.strangers == ["other.py", "other/lib.so"]


def test_a_file_of_two_packages_has_the_bytes_of_one_of_them(site: Path) -> None:
    install(site, "third", "1", {"shared/x.py": b"y"})
    assert check(site).modified == []
    (site / "shared" / "x.py").write_bytes(b"z")
    assert check(site).modified == ["shared/x.py"]


def test_what_is_meant_to_be_missing_or_changed_is_counted_apart(site: Path) -> None:
    (site / "one/tests/a.py").unlink()
    (site / "one/__init__.py").unlink()
    (site / "other/lib.so").write_bytes(b"stripped")
    look = installed.look(site)
    found = packages.judge("docker", "x", look, ["*/**/tests"], ["other/*.so"], [])
    assert (found.removed, found.missing) == (["one/tests/a.py"], ["one/__init__.py"])
    assert (found.changed, found.modified) == (["other/lib.so"], [])


@pytest.mark.parametrize(
    ("pattern", "named", "not_named"),
    [
        ("tests", ["tests/x.py", "tests"], ["a/tests/x.py", "testsuite/x"]),
        ("*/**/tests", ["a/tests/x", "a/b/c/tests/d/e"], ["tests/x", "a/mytests/x"]),
        ("nvidia/*/include", ["nvidia/cublas/include/a.h"], ["nvidia/a/b/include/a.h"]),
        ("a/lib*.so.*", ["a/libx.so.12"], ["a/libx.so", "a/b/libx.so.12", "a/libx_so_1"]),
        ("torch/bin/protoc*", ["torch/bin/protoc-3"], ["torch/bin/x/protoc"]),
    ],
)
def test_patterns_mean_what_docker_trim_makes_of_them(
    tmp_path: Path, pattern: str, named: list[str], not_named: list[str]
) -> None:
    assert packages._split([*named, *not_named], [pattern]) == (named, not_named)
    for name in (*named, *not_named):
        if "." in name or name[-1] in "xe3":
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
    matched = [path.relative_to(tmp_path) for path in tmp_path.glob(pattern)]
    below = {name for name in named if any(Path(name).is_relative_to(path) for path in matched)}
    assert below == {name for name in named if (tmp_path / name).exists()}


def test_the_lists_give_reasons_and_name_only_what_the_dockerfile_changes() -> None:
    for listing in (packages.CHANGES, packages.REMOVALS):
        assert packages.patterns(listing)
        first = listing.read_text().strip().split("\n\n")
        assert all(group.startswith("#") for group in first)
    dockerfile = environment.DOCKERFILE.read_text()
    for pattern in packages.patterns(packages.CHANGES):
        assert pattern in dockerfile, pattern


def test_labels_that_this_clone_would_not_write_are_named() -> None:
    good = dict(zip(packages.LABELS, (environment.lock_sha256(), environment.environment_sha256(),
                                      environment.source_sha256()), strict=True))  # fmt: skip
    assert packages.other_labels(good) == []
    assert packages.other_labels({**good, environment.LABEL_SOURCE: "x"}) == [
        environment.LABEL_SOURCE
    ]
    assert packages.other_labels({}) == list(packages.LABELS)


def test_no_environment_is_said(tmp_path: Path) -> None:
    places = {"environments": str(tmp_path)}
    merged = settings.resolve({**DEFAULTS, **places}, {"engine": "local"})
    with pytest.raises(RecordError) as caught:
        packages.verify(merged, Screen())
    assert caught.value.name == "no-environment"


def test_the_table_in_both_languages(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (site / "evil.pth").touch()
    merged = settings.resolve({**DEFAULTS, "environments": str(site.parents[3])},
                              {"engine": "local"})  # fmt: skip
    for lang, words in (("en", "of no package"), ("zh", "不属于任何软件包")):
        with pytest.raises(RecordError):
            packages.verify(merged, Screen(lang=lang))
        out = capsys.readouterr().out
        assert words in out
        assert "evil.pth" in out
