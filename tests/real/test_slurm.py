"""The batch script of `invoke submit --to slurm`, run by a real Slurm of one node."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from real.command_line import KIT, Kit

SCRIPT = KIT / "scripts" / "test-slurm"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
SECONDS = 600.0
TOKEN = "hf_0123456789abcdef"

pytestmark = [
    pytest.mark.environment,
    pytest.mark.skipif(bool(MISSING), reason=f"no {MISSING}: scripts/test-slurm install"),
    pytest.mark.skipif(os.getuid() != 0, reason="a Slurm of one's own needs root"),
]


def free_ports() -> int:
    """The first of two ports in a row that are free now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1]) // 2 * 2


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables by which programs find the cluster."""
    state = tmp_path_factory.mktemp("slurm") / "state"
    own = {"LLAVAKIT_SLURM_STATE": str(state), "LLAVAKIT_SLURM_PORT": str(free_ports())}
    env = {**os.environ, **own}
    started = subprocess.run(
        [SCRIPT, "start"], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert started.returncode == 0, started.stderr
    yield {"SLURM_CONF": str(state / "slurm.conf")}
    subprocess.run([SCRIPT, "stop"], env=env, timeout=60, check=True)
    assert not state.exists()


def slurm(cluster: dict[str, str], command: str, **env: str) -> str:
    return subprocess.run(
        shlex.split(command), env={**os.environ, **cluster, **env}, capture_output=True, text=True,
        timeout=60, check=True,
    ).stdout.strip()  # fmt: skip


def state_of(cluster: dict[str, str], job: str) -> str:
    shown = slurm(cluster, f"scontrol --oneliner show job {job}")
    return next(word for word in shown.split() if word.startswith("JobState=")).partition("=")[2]


def wait(cluster: dict[str, str], job: str, *states: str) -> str:
    end = time.monotonic() + SECONDS
    while (state := state_of(cluster, job)) not in states:
        assert time.monotonic() < end, f"job {job} is still {state}"
        time.sleep(0.5)
    return state


def test_a_job_is_cancelled_goes_on_and_its_run_is_the_kit_s(
    kit: Kit, cluster: dict[str, str], tmp_path: Path
) -> None:
    kit.more.update(cluster)
    made = kit.result("submit", "--to", "slurm", "--task", "compare")
    assert made["checked_by"] == "sbatch"
    assert made["stages"][-1] == "compare"
    hand_in = made["commands"][0].replace("sbatch", "sbatch --parsable")
    job = slurm(cluster, hand_in, HF_TOKEN=TOKEN)
    assert f"{job} " in slurm(cluster, "squeue --noheader --format='%i %T'")
    end = time.monotonic() + SECONDS
    while 30 not in kit.iterations() and time.monotonic() < end:
        time.sleep(0.1)
    slurm(cluster, f"scancel {job}")
    assert wait(cluster, job, "CANCELLED", "COMPLETED") == "CANCELLED"

    job = slurm(cluster, hand_in, HF_TOKEN=TOKEN)
    log = Path(made["files"]["job.sbatch"]).with_name(f"slurm-{job}.log")
    assert wait(cluster, job, "COMPLETED", "FAILED") == "COMPLETED", log.read_text()[-2000:]
    text = log.read_text()
    assert "lock.json: up to date" in text and "resumed epoch: 0, iter: 20" in text
    assert TOKEN not in "".join(
        path.read_text(errors="replace") for path in kit.root.rglob("*.log")
    )

    content = kit.result("compare", "--engine", "local")
    assert content["means"]["after"]["rouge_l"] >= 0.9
    [run] = kit.result("runs")
    assert (run["state"], run["iterations"]) == ("finished", 80)
