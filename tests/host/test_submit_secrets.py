"""A token is named in what is handed in, and never written."""

from __future__ import annotations

from pathlib import Path

import pytest
from host.submissions import (
    TOKEN,
    no_tools,  # noqa: F401 - a fixture for all of them
    refusal,
    tiny,
    tutorial,
)
from host.submitted import call


@pytest.mark.parametrize("to", ["kubernetes", "skypilot"])
def test_a_token_is_named_and_never_written(
    tmp_path: Path, to: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HTTPS_PROXY", "http://me:swordfish@proxy.example:3128")
    _, folder = call(tutorial(), tmp_path, to=to)
    said = "".join(capsys.readouterr())
    text = "".join(file.read_text() for file in folder.iterdir())
    for secret in (TOKEN, "swordfish"):
        assert secret not in text and secret not in said
    assert "HF_TOKEN" in text and "HTTPS_PROXY" in text
    assert "HF_TOKEN" in said


def test_a_job_without_a_network_is_given_no_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    _, folder = call(tutorial(), tmp_path, to="kubernetes")
    assert "HF_TOKEN" not in (folder / "run.yaml").read_text()
    assert "secretKeyRef" in (folder / "fetch.yaml").read_text()


def test_a_file_that_would_hold_a_secret_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_PASSWORD", "swordfish")
    image = "registry.example/swordfish/kit:1"
    assert refusal(tiny(), tmp_path, to="skypilot", image=image).name == "secret-in-file"
