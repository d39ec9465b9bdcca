"""What goes wrong for a user: a non-zero exit, one message with a remedy, nothing half-written."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from real.command_line import KIT, Kit

pytestmark = pytest.mark.environment
SAMPLE = KIT / "data" / "sample"


def refusal(kit: Kit, *words: str, **env: str) -> str:
    done = kit.run(*words, **env)
    assert done.returncode not in (0, None), done.stdout
    assert "Traceback" not in done.stderr + done.stdout, done.stderr
    assert "-> " in done.stderr, "a remedy"
    assert not list(kit.root.rglob("*.partial")), "nothing half-written"
    return done.stderr


def own_data(folder: Path, change: str) -> str:
    """A copy of the sample set whose conversations are ``change``; as a --set value."""
    folder.mkdir()
    for picture in SAMPLE.rglob("*.png"):
        copy = folder / picture.relative_to(SAMPLE)
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(picture.read_bytes())
    items = json.loads((SAMPLE / "conversations.json").read_text())
    namespace = {"items": items}
    exec(change, namespace)  # noqa: S102 - the statements below
    (folder / "conversations.json").write_text(json.dumps(namespace["items"]))
    return f"data.folder={json.dumps(str(folder))}"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("items[2]['image'] = 'images/missing.png'", "images/missing.png"),
        ("items[1]['conversations'][0]['from'] = 'robot'", "'human' or 'gpt'"),
        ("items[1]['conversations'].reverse()", "human"),
        ("items[0].pop('conversations')", "conversations"),
        ("items.clear()", "no conversation"),
        ("items[0]['image'] = '../../etc/passwd'", "outside"),
    ],
)
def test_data_that_cannot_be_used(engine: str, kit: Kit, change: str, words: str) -> None:
    override = own_data(kit.root.parent / "mine", change)
    said = refusal(kit, "data", "--engine", engine, "--set", override)
    assert words.lower() in said.lower()
    assert not list(kit.root.glob("data/*"))


def test_a_config_that_xtuner_cannot_use(engine: str, kit: Kit) -> None:
    """Valid by its types; only the forward pass can tell that there is no layer -9."""
    said = refusal(kit, "train", "--engine", engine, "--set", "train.visual_select_layer=-9")
    assert "IndexError" in said
    assert "logs/train.log" in said


@pytest.fixture
def small_disk(kit: Kit) -> Iterator[Kit]:
    if os.geteuid() != 0:
        pytest.skip("only root can mount the small disk that this test fills")
    runs = kit.root / "runs"
    runs.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(runs)], check=True)
    yield kit
    subprocess.run(["umount", "-l", str(runs)], check=True)


def test_a_full_disk_in_the_run_folder(engine: str, small_disk: Kit) -> None:
    said = refusal(small_disk, "train", "--engine", engine, "--set", "needs.disk_gib=0.001")
    assert "GiB are needed" in said
    whole = list(small_disk.root.glob("runs/*/train/*.pth"))
    assert whole == [], "no torn checkpoint is left"


def test_no_daemon(kit: Kit) -> None:
    said = refusal(kit, "train", "--engine", "docker", DOCKER_HOST="unix:///nowhere/docker.sock")
    assert "/nowhere/docker.sock" in said
    assert "--engine local" in said


def test_no_python_310(kit: Kit) -> None:
    nowhere = {
        "INVOKE_LLAVAKIT_PYTHON": "/bin/false",
        "INVOKE_LLAVAKIT_ENVIRONMENTS": str(kit.root / "environments"),
    }
    said = refusal(kit, "models", "--engine", "local", **nowhere)
    assert "3.10" in said
