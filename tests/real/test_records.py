"""A real run's record: one flipped bit anywhere is named, another seed is told from the same one.

(That the same seed gives the same bits from the record alone is shown in test_demo.)
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from real.command_line import KIT, REQUIRED, Kit, docker_is_missing

pytestmark = pytest.mark.environment
SMALL = "filelock"
"""A package of the environment that is small enough to be copied."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    """One trained run in a copy of this clone, whose files may be damaged."""
    place = tmp_path_factory.mktemp("records")
    clone = place / "kit"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=KIT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (KIT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(KIT / name, clone / name)
    kit = Kit(place / "w", clone=clone)
    done = kit.run("train", "--engine", "local")
    assert done.returncode == 0, done.stderr
    return kit


@contextmanager
def flipped(path: Path) -> Iterator[None]:
    """One bit is another while size and time stay as they were."""
    stat, content = path.stat(), path.read_bytes()
    middle = len(content) // 2
    changed = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    for written in (changed, content):
        path.write_bytes(written)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        if written is changed:
            yield


def test_the_record_conforms_to_its_schema_and_verifies(trained: Kit) -> None:
    [file] = trained.root.glob("runs/*/run.json")
    command = [str(Path(sys.executable).with_name("check-jsonschema")), "--schemafile",
               str(KIT / "docs" / "run.schema.json"), str(file)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    run = json.loads(file.read_text())
    assert run["results"]["peak_host_mib"] > 100
    assert run["results"]["seconds_per_iteration"] > 0
    assert [machine["threads"] for machine in run["provenance"]["trained_on"]] == [1]
    pins = trained.result("verify")["pins"]
    assert {pin["state"] for pin in pins} == {"ok"}


@pytest.mark.parametrize(
    ("where", "named"),
    [
        ("w/models/*/llm/model.safetensors", "model.safetensors"),
        ("w/data/*/pictures/images/boat.png", "boat.png"),
        ("w/runs/*/train/iter_80_weights.pth", "iter_80_weights.pth"),
        ("kit/docker/requirements.lock", "lock"),
        ("kit/src/llavakit/steps/train.py", "steps"),
    ],
)
def test_one_flipped_bit_is_named(trained: Kit, where: str, named: str) -> None:
    [path] = trained.root.parent.glob(where)
    with flipped(path):
        done = trained.run("verify", "--json")
    assert done.returncode == 1, done.stderr
    drifted = [pin["name"] for pin in json.loads(done.stdout)["pins"] if pin["state"] == "drifted"]
    assert [name.rpartition("/")[2] for name in drifted] == [named]
    assert named in done.stderr


def test_one_flipped_bit_in_an_installed_package_is_named(trained: Kit, tmp_path: Path) -> None:
    """In an environment that is the real one, but for one package that is a copy."""
    environments = Path(trained.env()["INVOKE_LLAVAKIT_ENVIRONMENTS"])
    [real] = [path for path in environments.iterdir() if (path / "bin" / "python").exists()]
    made = tmp_path / real.name
    site = Path("lib", "python3.10", "site-packages")
    (made / site).mkdir(parents=True)
    for path in real.iterdir():
        if path.name != "lib":
            (made / path.name).symlink_to(path.resolve())
    for path in (real / site).iterdir():
        if path.name == SMALL:
            shutil.copytree(path, made / site / SMALL)
        else:
            (made / site / path.name).symlink_to(path.resolve())
    words = ("verify", "--environment", "--engine", "local", "--json")
    with flipped(made / site / SMALL / "_api.py"):
        done = trained.run(*words, INVOKE_LLAVAKIT_ENVIRONMENTS=str(tmp_path))
    assert done.returncode == 1
    [found] = json.loads(done.stdout)["environments"]
    assert found["modified"] == [f"{SMALL}/_api.py"]  # the links are named as strangers
    assert found["found"]["hashed"] > 10_000


@pytest.mark.engine
def test_the_image_is_what_the_lock_and_the_lists_say(trained: Kit) -> None:
    if reason := docker_is_missing():
        if os.environ.get(REQUIRED):
            pytest.fail(reason)
        pytest.skip(reason)
    done = trained.run("verify", "--environment", "--engine", "docker", "--json")
    [found] = json.loads(done.stdout)["environments"]
    stale = {"io.llavakit.source.sha256"}  # an image of another commit: nothing of the environment
    assert set(found["drifted"]) <= stale, done.stderr
    assert found["removed"]
    assert found["changed"]


def test_another_seed_is_not_equal_and_the_table_says_so(trained: Kit) -> None:
    [name] = os.listdir(trained.root / "runs")  # noqa: PTH208 - names
    done = trained.run("reproduce", name, "--set", "seed=1", "--engine", "local")
    assert done.returncode == 1, done.stderr
    assert "not reproduced: seed differs" in done.stderr
    assert "│ seed " in done.stdout
    other = next(path.name for path in (trained.root / "runs").iterdir() if path.name != name)
    content = json.loads(trained.run("diff", name, other, "--json").stdout)
    assert content["identity"][0] == {"name": "seed", "one": 0, "other": 1}
    assert trained.run("expect", other).returncode == 0
