"""The virtual environment from the lock: real uv, small packages from files."""

from __future__ import annotations

import hashlib
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from llavakit.engines import python310, venv
from llavakit.errors import EnvironmentFailure

PYTHON = Path(sys.executable)


def make_wheel(folder: Path) -> Path:
    info = "tiny_thing-1.0.dist-info"
    wheel = folder / "tiny_thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_thing.py", "VALUE = 7\n")
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return wheel


def make_lock(folder: Path, *, sha256: str | None = None) -> Path:
    wheel = make_wheel(folder)
    sha256 = sha256 or hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock = folder / "requirements.lock"
    lock.write_text(f"tiny-thing @ file://{wheel} --hash=sha256:{sha256}\n", encoding="utf-8")
    return lock


def test_made_once_and_again_for_another_lock(tmp_path):
    lock, folder, lines = make_lock(tmp_path), tmp_path / "cache/env 环境", []
    assert not venv.is_ready(folder, lock)
    python = venv.ensure(folder, lock, PYTHON, lines.append)
    assert python == folder / "bin/python"
    assert list(folder.glob("lib/*/site-packages/__pycache__/tiny_thing*.pyc"))
    assert any("tiny-thing" in line for line in lines)
    assert venv.is_ready(folder, lock)
    lines.clear()
    began = time.monotonic()
    assert venv.ensure(folder, lock, PYTHON, lines.append) == python
    assert time.monotonic() - began < 0.05
    assert lines == []
    lock.write_text(lock.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
    (folder / "stray").touch()
    venv.ensure(folder, lock, PYTHON, lines.append)
    assert lines and not (folder / "stray").exists()


def test_a_half_made_one_is_made_anew(tmp_path):
    lock, folder = make_lock(tmp_path), tmp_path / "env"
    venv.ensure(folder, lock, PYTHON, print)
    (folder / venv.STAMP).unlink()
    (folder / "stray").touch()
    assert venv.ready(folder, lock) is None
    venv.ensure(folder, lock, PYTHON, print)
    assert not (folder / "stray").exists()


def test_two_at_once_make_one(tmp_path):
    lock, folder = make_lock(tmp_path), tmp_path / "env"
    lines: list[str] = []
    threads = [
        threading.Thread(target=venv.ensure, args=(folder, lock, PYTHON, lines.append))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum("tiny-thing" in line for line in lines) == 1
    assert sum("Waiting" in line for line in lines) == 1


def test_hash_mismatch(tmp_path):
    lock, folder = make_lock(tmp_path, sha256="0" * 64), tmp_path / "env"
    with pytest.raises(EnvironmentFailure) as caught:
        venv.ensure(folder, lock, PYTHON, print)
    assert caught.value.id == "environment.hash-mismatch"
    assert "Hash mismatch" in caught.value.why
    assert not folder.exists()


def test_no_network(tmp_path, monkeypatch):
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"no-such-thing==1.0 --hash=sha256:{'0' * 64}\n", encoding="utf-8")
    with pytest.raises(EnvironmentFailure) as caught:
        venv.ensure(tmp_path / "env", lock, PYTHON, print)
    assert caught.value.id == "environment.no-network"
    assert not (tmp_path / "env").exists()


def test_full_disk(tmp_path):
    """uv's own words when the disk it installs to is full."""
    text = (
        "error: Failed to install: huggingface_hub-0.22.2-py3-none-any.whl\n"
        "  cause: Failed to copy to `env/lib/python3.10/site-packages/huggingface_hub/x.py`\n"
        "  cause: failed to copy file from x.py to .tmpG: No space left on device (os error 28)"
    )
    assert venv._failure(text, tmp_path).id == "environment.disk-full"


def test_a_lock_that_uv_cannot_read(tmp_path):
    lock = tmp_path / "requirements.lock"
    lock.write_text("a == not a version\n", encoding="utf-8")
    with pytest.raises(EnvironmentFailure) as caught:
        venv.ensure(tmp_path / "env", lock, PYTHON, print)
    assert caught.value.id == "environment.install-failed"
    assert caught.value.why


@pytest.mark.parametrize(
    ("given", "index"),
    [
        ({"PIP_INDEX_URL": "p"}, "p"),
        ({"PIP_INDEX_URL": "p", "UV_DEFAULT_INDEX": "u"}, "u"),
        ({"PIP_INDEX_URL": "p", "UV_INDEX_URL": "old"}, None),
        ({"PIP_CONFIG_FILE": "CONFIG"}, "https://mirror.invalid/simple"),
    ],
)
def test_mirrors(tmp_path, given, index):
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://mirror.invalid/simple\n", encoding="utf-8")
    given = {key: value.replace("CONFIG", str(config)) for key, value in given.items()}
    made = venv.installer_environment({"HOME": str(tmp_path), **given})
    assert made.get("UV_DEFAULT_INDEX") == index


def test_certificates():
    assert venv.installer_environment({"PIP_CERT": "c"})["SSL_CERT_FILE"] == "c"
    both = {"PIP_CERT": "c", "SSL_CERT_FILE": "s"}
    assert venv.installer_environment(both)["SSL_CERT_FILE"] == "s"


def fake_python(path: Path, *, version: str = "True", status: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {version}\necho {path}\nexit {status}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def nothing_known(tmp_path, monkeypatch):
    """A host without any Python 3.10, and a uv that knows and gets none."""
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\necho 'error: not to be had' >&2\nexit 1\n", encoding="utf-8")
    uv.chmod(0o755)
    monkeypatch.setattr(python310, "find_uv", lambda: uv)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("PATH", "/bin:/usr/bin" if not Path("/usr/bin/python3.10").exists() else "")
    return tmp_path


def test_a_shim_that_fails_is_passed_over(nothing_known, monkeypatch):
    fake_python(nothing_known / "shims/python3.10", status=127)
    good = fake_python(nothing_known / "good/python3.10")
    monkeypatch.setenv("PATH", f"{nothing_known}/shims:{nothing_known}/good")
    found = python310.find_python()
    assert (found.path, str(found.how)) == (good, "on PATH")


def test_pyenv_has_one_that_its_shim_does_not_reach(nothing_known):
    good = fake_python(nothing_known / "pyenv/versions/3.10.13/bin/python3.10")
    assert python310.find_python().path == good


def test_none_to_be_found(nothing_known):
    with pytest.raises(EnvironmentFailure) as caught:
        python310.find_python()
    assert caught.value.id == "environment.no-python"
    assert caught.value.why == "error: not to be had"
    with pytest.raises(EnvironmentFailure) as caught:
        python310.find_python(download=False)
    assert caught.value.id == "environment.no-python"


def test_the_given_one(nothing_known):
    good = fake_python(nothing_known / "mine/python")
    assert str(python310.find_python(str(good)).how) == "as given"
    other = fake_python(nothing_known / "other/python", version="False")
    for given in (str(other), str(nothing_known / "nowhere"), str(nothing_known)):
        with pytest.raises(EnvironmentFailure) as caught:
            python310.find_python(given)
        assert caught.value.id == "environment.not-python310"


def test_no_uv(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFailure) as caught:
        python310.find_uv()
    assert caught.value.id == "environment.no-uv"
