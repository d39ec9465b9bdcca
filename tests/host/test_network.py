"""What a job with a network gets of the caller's environment, and what nobody gets to see."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from host.recipes import remote
from host.scripted import Play, ScriptedEngine
from host.test_pipeline import DEFAULTS

from llavakit import record
from llavakit.engines.base import Job
from llavakit.engines.container import ContainerSpec
from llavakit.engines.local import LocalEngine
from llavakit.errors import ConfigurationError
from llavakit.host import network, plan, settings
from llavakit.host.console import Screen
from llavakit.host.pipeline import Pipeline
from llavakit.host.settings import KIT
from llavakit.locks import StepLock
from llavakit.workspace import Workspace

SECRETS = {
    "HTTPS_PROXY": "http://me:s3cret@proxy.example:3128",
    "HF_TOKEN": "hf_s3cret",
    "MODELSCOPE_API_TOKEN": "ms-s3cret",
    "HF_ENDPOINT": "https://me:s3cret@mirror.example",
}
OTHERS = {"AWS_SECRET_ACCESS_KEY": "x", "HF_HOME": "/h", "PATH": "/bin"}


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    for name in (*network.PASSED, *network.CA_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    recipe = remote()
    merged = settings.resolve(DEFAULTS, {"workspace": str(tmp_path), "gpus": "none"})
    work = plan.make(recipe, kit=KIT, lock_sha256="0" * 64)

    def play(job: Job) -> Play:
        lock = tmp_path / work.stage(job.name).lock
        lock.parent.mkdir(parents=True, exist_ok=True)
        (lock.parent / "x").write_text("x")
        StepLock(lock).write("s", work.stage(job.name).key, [lock.parent / "x"])
        return Play(lines=("done",))

    engine = ScriptedEngine(play)
    return Pipeline(merged, Screen(), work, Workspace(tmp_path), lambda: engine)


def test_the_way_out_and_nothing_else() -> None:
    lower = {"https_proxy": "http://proxy.example:3128", "no_proxy": "localhost"}
    env = network.access(SECRETS | OTHERS | lower | {"HF_TOKEN": ""}).env
    expected = SECRETS | lower | network.NO_TRACKING
    assert env == {key: value for key, value in expected.items() if key != "HF_TOKEN"}


def test_without_a_network_libraries_are_told_so() -> None:
    assert network.without().env["HF_HUB_OFFLINE"] == "1"
    assert "HF_HUB_OFFLINE" not in network.access({}).env


def test_certificates_come_along_under_a_name_of_the_workspace(tmp_path: Path) -> None:
    bundle = tmp_path / "corporate.pem"
    bundle.write_text("PEM")
    for name in network.CA_VARIABLES:
        access = network.access({name: str(bundle)})
        [mount] = access.mounts
        assert (mount.source, mount.target, mount.read_only) == (bundle, network.CA_PLACE, True)
        assert {access.env[reader] for reader in network.CA_READERS} == {network.CA_PLACE}


def test_certificates_that_are_not_there_are_refused_by_the_variable_s_name(tmp_path: Path) -> None:
    for value in (str(tmp_path), str(tmp_path / "none")):
        with pytest.raises(ConfigurationError) as caught:
            network.access({"SSL_CERT_FILE": value})
        assert "SSL_CERT_FILE" in caught.value.what()


def test_only_fetches_get_a_network(made: Pipeline) -> None:
    jobs = {stage.label: made.job(stage) for stage in made.plan.stages}
    assert {label for label, job in jobs.items() if job.network} == set(made.plan.downloads)
    for label, job in jobs.items():
        assert ("HF_TOKEN" in job.env) == (label in made.plan.downloads)
        assert ("HF_HUB_OFFLINE" in job.env) != (label in made.plan.downloads)


def test_no_secret_is_printed_or_recorded(
    made: Pipeline, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    job = made.job(made.plan.stage("fetch-llm"))
    assert set(SECRETS) <= set(job.env)
    lines = [
        ContainerSpec(job, "image", (1, 1)).run_line(),
        LocalEngine(Path("/python"), KIT / "src").command(job),
    ]
    made.bring_up_to_date(["models"])
    body = record.read(made.run_dir)
    captured = capsys.readouterr()
    for text in (*lines, json.dumps(body), captured.out, captured.err):
        assert "s3cret" not in text
    assert "--env HF_TOKEN " in lines[0]
    assert 'HF_TOKEN="$HF_TOKEN"' in lines[1]
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or "s3cret" not in path.read_text(errors="replace"), path
