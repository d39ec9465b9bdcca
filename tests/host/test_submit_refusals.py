"""What no scheduler could run is refused, with a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from host.submissions import (
    no_tools,  # noqa: F401 - a fixture for all of them
    refusal,
    tiny,
    tutorial,
)
from host.submitted import call

from llavakit.errors import ConfigurationError
from llavakit.host import environment, submit_checks


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "bad-value"),
        ({"to": "pbs"}, "bad-value"),
        ({"to": "slurm", "task": "chat"}, "bad-value"),
        ({"to": "slurm", "runtime": "podman"}, "bad-value"),
        ({"to": "slurm", "gpus": "0,1"}, "bad-value"),
        ({"to": "kubernetes", "engine": "local"}, "containers-only"),
        ({"to": "skypilot", "runtime": "pyxis"}, "containers-only"),
        ({"to": "kubernetes", "image": "llavakit"}, "bad-image"),
        ({"to": "kubernetes", "image": "kit.sif"}, "bad-image"),
        ({"to": "skypilot", "image": "kit:1;reboot"}, "bad-image"),
    ],
)
def test_what_no_engine_could_run_is_refused(
    tmp_path: Path, options: dict[str, str], name: str
) -> None:
    error = refusal(tiny(), tmp_path, **options)
    assert error.name == name
    assert error.remedy("en") and error.remedy("zh")


def test_slurm_s_nodes_download_nothing(tmp_path: Path) -> None:
    error = refusal(tutorial(), tmp_path, to="slurm")
    assert (error.name, error.params["parts"]) == ("fetch-first", "projector, vision, llm, data")


def test_the_local_runtime_wants_its_environment_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "has_local", lambda settings: False)
    assert refusal(tiny(), tmp_path, to="slurm").name == "no-environment"
    assert call(tiny(), tmp_path, to="slurm", runtime="apptainer")[0] == 0


def test_a_tool_s_refusal_comes_after_the_files_and_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tool = tmp_path / "sbatch"
    tool.write_text("#!/bin/sh\necho invalid partition $2 >&2\nexit 1\n")
    tool.chmod(0o755)
    monkeypatch.setattr(submit_checks, "installed", lambda name: tool)
    with pytest.raises(ConfigurationError) as caught:
        call(tiny(), tmp_path, to="slurm")
    assert caught.value.name == "refused-file"
    assert caught.value.why == f"invalid partition {tmp_path / 'out' / 'job.sbatch'}"
    assert "# hand in" in capsys.readouterr().out
    tool.write_text("#!/bin/sh\n")
    assert call(tiny(), tmp_path, to="slurm")[0] == 0
    assert "sbatch finds nothing wrong" in capsys.readouterr().err
