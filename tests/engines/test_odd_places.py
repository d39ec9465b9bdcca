"""Workspaces with names that shells and CSV would break, and users that no file knows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import docker
import pytest

from llavakit.engines.base import Engine, Job, Mount
from llavakit.engines.docker import DockerEngine
from llavakit.engines.local import LocalEngine

SRC = Path(__file__).parents[2] / "src"
NAMES = (
    "with blank",
    'a "quoted" one',
    "it's",
    "中文 目录",
    "two\nlines",
    "-dash",
    "a,b=c",
    "$HOME`x`",
)


@pytest.fixture(params=["local", pytest.param("docker", marks=pytest.mark.engine)])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "local":
        return LocalEngine(Path(sys.executable), SRC)
    client: docker.DockerClient = request.getfixturevalue("docker_client")
    return DockerEngine(client, request.getfixturevalue("image"))


@pytest.mark.parametrize("name", NAMES)
def test_a_job_reads_and_writes_there(engine: Engine, tmp_path: Path, name: str) -> None:
    workspace, weights = tmp_path / name / "w", tmp_path / name / "weights"
    workspace.mkdir(parents=True)
    weights.mkdir()
    (weights / "w.txt").write_text("重")
    code = "open('out.txt', 'w').write(open('inputs/w/w.txt').read()); print('ok')"
    job = Job("odd", ("-c", code), workspace, mounts=(Mount(weights, "inputs/w"),))
    running = engine.start(job)
    assert list(running.lines()) == ["ok"]
    assert running.wait().exit_code == 0
    assert (workspace / "out.txt").read_text() == "重"


PYTHON = Path("/usr/bin/python3")
"""One that any user may run: the tests' own may lie in root's home."""
USER = """
import encodings.ascii, encodings.idna, os, sys
from pathlib import Path
from llavakit.engines.base import Job
from llavakit.engines.local import LocalEngine
os.setgroups([]); os.setgid(54321); os.setuid(54321)
engine = LocalEngine(Path(sys.argv[3]), Path(sys.argv[2]))
code = "import getpass, os; print(getpass.getuser(), os.getuid())"
running = engine.start(Job("who", ("-c", code), Path(sys.argv[1])))
print(*running.lines(), running.wait().exit_code)
"""


@pytest.mark.skipif(
    os.getuid() != 0 or not PYTHON.exists(), reason="needs root and a Python of the system's"
)
def test_a_local_job_of_a_uid_that_no_passwd_knows(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    workspace = tmp_path / "w"
    workspace.mkdir()
    os.chown(workspace, 54321, 54321)
    argv = [sys.executable, "-c", USER, str(workspace), str(SRC), str(PYTHON)]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SRC), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        argv, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "llavakit 54321 0\n", done.stderr


@pytest.mark.engine
def test_a_container_s_uid_that_no_passwd_knows(
    docker_client: docker.DockerClient, image: str, tmp_path: Path
) -> None:
    engine = DockerEngine(docker_client, image, user=(54321, 54321))
    code = "import os, pathlib; pathlib.Path('made').write_text('x'); print(os.getuid())"
    running = engine.start(Job("who", ("-c", code), tmp_path))
    assert list(running.lines()) == ["54321"]
    assert running.wait().exit_code == 0
    assert (tmp_path / "made").stat().st_uid == 54321
