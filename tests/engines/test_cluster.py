"""The container of `docker run` under pyxis and Apptainer: the same job, mounts and variables."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from llavakit.engines import cluster
from llavakit.engines.base import Job, Mount
from llavakit.engines.container import ContainerSpec
from llavakit.engines.gpus import GpuAccess

SRUN = ("srun", "--ntasks=1")


def spec(
    workspace: Path, image: str = "reg.example:5000/kit:1", gpus: str = "all"
) -> ContainerSpec:
    (workspace / "w" / "models").mkdir(parents=True, exist_ok=True)
    job = Job(
        "train", ("-m", "a.step", "--note", "it's"), workspace / "w", env={"A": "b c"},
        mounts=(Mount(workspace / "w" / "models", "models"),), gpus=gpus,
    )  # fmt: skip
    return ContainerSpec(job, image, (os.getuid(), os.getgid()), GpuAccess.RUNTIME)


def words_of(made: ContainerSpec, runtime: str) -> list[str]:
    prepare, _, command = cluster.line(made, runtime, SRUN).rpartition(" && ")
    assert prepare == f"mkdir -p {made.job.workspace}/models"
    return shlex.split(command)


def test_pyxis_gets_all_that_docker_gets(tmp_path: Path) -> None:
    words = words_of(spec(tmp_path), "pyxis")
    assert words[-4:] == ["-m", "a.step", "--note", "it's"]
    before = words[1 : words.index("srun")]
    assert {"A=b c", "HOME=/tmp", "CUDA_DEVICE_ORDER=PCI_BUS_ID"} <= set(before)
    named = next(word for word in words if word.startswith("--container-env="))
    assert named.partition("=")[2].split(",") == [word.partition("=")[0] for word in before]
    root = tmp_path / "w"
    mounts = f"--container-mounts={root}:/workspace,{root}/models:/workspace/models:ro,/tmp:/tmp"
    assert mounts in words
    assert "--container-image=reg.example:5000#kit:1" in words
    assert {"--container-readonly", "--no-container-mount-home", "--no-container-remap-root",
            "--container-workdir=/workspace"} <= set(words)  # fmt: skip


def test_apptainer_gets_all_that_docker_gets(tmp_path: Path) -> None:
    words = words_of(spec(tmp_path), "apptainer")
    assert words[-7:] == ["/workspace", "docker://reg.example:5000/kit:1", "python", "-m", "a.step",
                          "--note", "it's"]  # fmt: skip
    assert "APPTAINERENV_A=b c" in words and not any("ENV_HOME" in word for word in words)
    assert f"{tmp_path}/w/models:/workspace/models:ro" in words
    assert {"--containall", "--cleanenv", "--no-privs", "--nv"} <= set(words)


def test_the_gpu_that_slurm_gave_reaches_apptainer(tmp_path: Path) -> None:
    line = cluster.line(spec(tmp_path), "apptainer", SRUN)
    assert '"APPTAINERENV_CUDA_VISIBLE_DEVICES=$CUDA_VISIBLE_DEVICES"' in line
    without = cluster.line(spec(tmp_path, gpus="none"), "apptainer", SRUN)
    assert "--nv" not in without and "$CUDA" not in without


@pytest.mark.parametrize(
    ("image", "enroot", "apptainer"),
    [
        ("kit:1", "kit:1", "docker://kit:1"),
        ("team/kit:1", "team/kit:1", "docker://team/kit:1"),
        ("localhost/kit:1", "localhost#kit:1", "docker://localhost/kit:1"),
        ("r.example/a/kit:1", "r.example#a/kit:1", "docker://r.example/a/kit:1"),
        ("/images/v1.0/kit.sqsh", "/images/v1.0/kit.sqsh", "/images/v1.0/kit.sqsh"),
        ("kits.d/kit.sif", "kits.d/kit.sif", "kits.d/kit.sif"),
    ],
)
def test_images_are_named_as_each_runtime_does(image: str, enroot: str, apptainer: str) -> None:
    assert (cluster.enroot_name(image), cluster.apptainer_name(image)) == (enroot, apptainer)


def test_paths_that_a_mount_cannot_hold_are_named(tmp_path: Path) -> None:
    assert cluster.unfit(spec(tmp_path)) == []
    assert cluster.unfit(spec(tmp_path / "a,b"))[0].endswith("/a,b/w")
